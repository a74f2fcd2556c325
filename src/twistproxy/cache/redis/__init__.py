"""What `stores/redis.py` stands on: one connection, what lies where, and when to leave it alone.

    client.py    a connection to Redis, bounded
    layout.py    the names and values in Redis, and the scripts that change them
    circuit.py   leaves alone who doesn't answer, and tries again

Knows keys and stored responses; nothing of the road.
"""
