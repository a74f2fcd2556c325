"""From a TOML file to frozen classes; knows the names, not what they do.

In: a file, the environment, the balancers' names. Out: a :class:`~model.Config` whose paths are
absolute and whose references hold, or every error of the file at once, each with its line.

- ``model``: what can be written, one attribute a key; ``values``: what a single value can be
- ``load``: the way from the file to the classes: ``variables`` (``${NAME}``), ``structure``
  (TOML's types to ours), ``references`` (keys that must fit each other), ``places`` (the lines)
- ``later``: names that are known, but not in this version; ``endpoints``: where to listen
- ``reference``: ``docs/configuration.rst``, made from the model

To add a key: one attribute in ``model``, its help in the metadata; ``make test`` then says how
to renew the documentation. A new kind of value: an alias in ``model``, a Kind in ``values``.
"""
