"""Conditions on stored items, and the request parameters for them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from key_value.aio.stores.dynamodb.items import COLLECTION, KEY, TTL, VALUE, max_expired_ttl

__all__ = ["Condition", "filtered", "is_absent", "is_not_certainly_expired", "is_unchanged", "only_if", "projected"]

# Only names that DynamoDB reserves need a placeholder; using one for every name avoids a distinction.
_PLACEHOLDERS = {f"#{name}": name for name in (COLLECTION, KEY, VALUE, TTL)}


class Condition(NamedTuple):
    """A condition on the stored item, with the values that it compares to."""

    expression: str
    values: dict[str, dict[str, str]]


def is_unchanged(text: str) -> Condition:
    """The stored text of the entry is this one."""
    return Condition(f"#{VALUE} = :stored", {":stored": {"S": text}})


def is_absent() -> Condition:
    """There is no item, or it has certainly expired, whichever way its `ttl` was rounded."""
    return Condition(f"attribute_not_exists(#{COLLECTION}) OR #{TTL} <= :past", {":past": {"N": max_expired_ttl()}})


def is_not_certainly_expired() -> Condition:
    """The item may not have expired."""
    return Condition(f"attribute_not_exists(#{TTL}) OR #{TTL} > :past", {":past": {"N": max_expired_ttl()}})


def only_if(condition: Condition | None) -> dict[str, Any]:
    """Return the parameters of a conditional write; if the condition fails, the error contains the stored item."""
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
    """Return the parameters of a query or scan: projection, filter and values. `expression` is its key condition."""
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
    """Return the parameters of a request for these attributes, or for all if none is given."""
    if not attributes:
        return {}
    expression = ", ".join(f"#{name}" for name in attributes)
    return {"ProjectionExpression": expression, **_names_in(expression)}


def _names_in(expression: str) -> dict[str, dict[str, str]]:
    """Return the names for the placeholders in the expression; DynamoDB rejects unused ones."""
    return {"ExpressionAttributeNames": {short: name for short, name in _PLACEHOLDERS.items() if short in expression}}
