"""Conditions on stored items, and the parameters of requests that have them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from key_value.aio.stores.dynamodb.items import COLLECTION, KEY, TTL, VALUE, long_past

__all__ = ["Condition", "filtered", "is_absent", "is_not_long_past", "is_still", "only_if", "projected"]

# Those whose names DynamoDB reserves would need it, and the others need no exception.
_PLACEHOLDERS = {f"#{name}": name for name in (COLLECTION, KEY, VALUE, TTL)}


class Condition(NamedTuple):
    """A condition on the stored item, with the strings and numbers that it compares to."""

    expression: str
    values: dict[str, dict[str, str]]


def is_still(text: str) -> Condition:
    """What is stored for the entry is this."""
    return Condition(f"#{VALUE} = :stored", {":stored": {"S": text}})


def is_absent() -> Condition:
    """There is no item, or one that has expired, whoever rounded its `ttl`."""
    return Condition(f"attribute_not_exists(#{COLLECTION}) OR #{TTL} <= :past", {":past": {"N": long_past()}})


def is_not_long_past() -> Condition:
    """The item may not have expired."""
    return Condition(f"attribute_not_exists(#{TTL}) OR #{TTL} > :past", {":past": {"N": long_past()}})


def only_if(condition: Condition | None) -> dict[str, Any]:
    """The parameters of a write with a condition; an error then holds the item that is stored."""
    if condition is None:
        return {}
    return {
        "ConditionExpression": condition.expression,
        **_names_in(condition.expression),
        "ExpressionAttributeValues": condition.values,
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def filtered(
    attributes: Sequence[str], where: Condition | None, expression: str, values: dict[str, dict[str, str]]
) -> dict[str, Any]:
    """The parameters of a page of some attributes, beside the condition on its primary key."""
    where = where or Condition("", {})
    projection = ", ".join(f"#{name}" for name in attributes)
    values = {**values, **where.values}
    return {
        "ProjectionExpression": projection,
        **({"FilterExpression": where.expression} if where.expression else {}),
        **_names_in(f"{projection} {expression} {where.expression}"),
        **({"ExpressionAttributeValues": values} if values else {}),
    }


def projected(attributes: Sequence[str]) -> dict[str, Any]:
    """The parameters of a request for some attributes; for all of them where none is named."""
    if not attributes:
        return {}
    expression = ", ".join(f"#{name}" for name in attributes)
    return {"ProjectionExpression": expression, **_names_in(expression)}


def _names_in(expression: str) -> dict[str, dict[str, str]]:
    """DynamoDB refuses a placeholder that no expression has."""
    return {"ExpressionAttributeNames": {short: name for short, name in _PLACEHOLDERS.items() if short in expression}}
