"""The benchmark: what a request costs in twistproxy, and in the proxies one would take instead.

``make bench`` runs it; ``python -m bench --help`` has the choices. docs/benchmark.rst tells what
was found, and what was not equal.

rows.py      the table: each row's question, who is measured, and what must be reached
peers/       how each proxy is run, one file each, "as installed" and "tuned"
origin.py    the server behind all of them: nginx
load.py      who asks: wrk, and small clients of our own; only good answers count
measure.py   a row: everybody started, then measured in turn, round by round
machine.py   cores, ports, processes, their CPU and memory
report.py    what is printed and saved; picture.py, the same as SVG
traces.py    by itself: who stays in the memory store, and what a full one takes

Proxies run on the first core, load and origin on the others. To add a peer: a file in peers/ that
ends in its PEERS, and its names in the rows; to add a row: an entry in rows.py.
"""
