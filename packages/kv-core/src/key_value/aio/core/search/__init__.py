"""Code shared by the stores on Elasticsearch and OpenSearch: documents, names, requests and error translation.

Nothing in this package imports a driver; each store provides a `SearchDriver`.
"""
