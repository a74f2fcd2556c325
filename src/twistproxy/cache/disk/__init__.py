"""What `stores/disk.py` stands on; all of it is called in the disk's own thread.

    shelf.py    the objects of a folder within one limit: what leaves, what is purged, what is swept
    index.py    what is known of each, in SQLite; and the sketch that tells what surely isn't there
    bodies.py   a file each, checked when it is opened

Raises what the disk raises: `stores/disk.py` says what becomes of that.
"""
