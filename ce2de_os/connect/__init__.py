"""Connect: OpenSearch itself embeds documents and questions with a service of `ce2de serve`.

`plan` reads the cluster and lists what is missing as ``steps``, `undo` lists what takes it back; ``steps``
carries them out or shows them as curl. ``cluster`` has the settings of the cluster, ``models`` connectors and
remote models, ``pipelines`` what runs at each write and search. `check` sends the model's canaries through
OpenSearch and compares; ``refusals`` says what to change when OpenSearch or the service refuses.
"""
