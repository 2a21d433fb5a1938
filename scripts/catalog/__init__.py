"""A small framework that catalogues installed distributions, and the program that runs it on a store."""
