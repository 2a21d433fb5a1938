"""What the stores on Elasticsearch and OpenSearch share: documents, names, requests and the meaning of refusals.

Nothing in here imports a driver: a store brings a `SearchDriver`.
"""
