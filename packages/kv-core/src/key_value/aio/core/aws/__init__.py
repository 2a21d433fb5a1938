"""What the stores on services of AWS share: clients, errors, requests and options.

Each module imports aiobotocore or botocore when it first needs it, and nothing else in kv-core imports them.
"""
