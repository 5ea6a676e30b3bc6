"""The jobs in the browser: watch them live, and operate them.

`verbs` knows what can be done with a job and what follows from it, `actions` does it, `live` sends the news,
`page` answers the requests.
"""
