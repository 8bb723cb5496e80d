"""A trial of the whole way on a real Redshift, which leaves nothing behind: `make smoke-redshift`.

* `settings` says what is missing in the environment.
* `place` is where it happens: schemas, staged files and a MySQL database under a name of the run's
  own, which go with it; `making` makes one.
* `steps` are what is tried, in order, with the commands that a person types.
* `running` takes them until one fails, and drops everything, however it ends.
"""
