"""Code shared by the stores on AWS services: clients, errors, requests and options.

The modules import aiobotocore or botocore on first use; nothing else in kv-core imports them.
"""
