"""A small framework that catalogues installed distributions, and a program that runs it on a store."""
