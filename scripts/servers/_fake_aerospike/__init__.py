"""A fake of an Aerospike server: one node that keeps records in memory, for the tests and measurements.

It speaks the protocol as the C client does, and does what a real 8.1 was seen to do where our store depends on it. It
carries our assumptions: what works here has not met a real server.
"""
