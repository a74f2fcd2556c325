"""The doors: how a request gets its target, and which fields each side adds or hides.

forward   for clients inside: absolute form and CONNECT, to the open internet or through a parent
reverse   for clients outside: a route leads to a pool

own_pages reads the operator's error pages, for the assembly.

In: heads from client legs. Out: an `Exchange` that has set out on the road.
To add a way in: one file here, and one in wire/ where the bytes are another protocol's.
"""
