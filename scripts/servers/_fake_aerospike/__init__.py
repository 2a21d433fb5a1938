"""A fake Aerospike server for tests and benchmarks: one node with records in memory.

It implements the protocol of the C client and, where our store depends on it, the observed behaviour of a real server
8.1. It embodies our assumptions: a test that passes here has not been verified on a real server.
"""
