"""Where the cache is asked: what the console, the API and the command line call.

    desk.py    why, top, stats, purge, warm: in one place
    why.py     what is known of a URL, and by which clause of the RFC
    stats.py   hit ratios by side, and what is asked for most
    warm.py    fetches a list of URLs before anybody asks

In: URLs and words of people. Out: reports whose repr is meant to be read. It looks at stores and
counts; what is kept or served is decided elsewhere.
"""
