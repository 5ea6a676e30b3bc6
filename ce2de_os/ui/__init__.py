"""The page: compare rankings, judge them, tune, and run the jobs, in a browser.

`run` listens, `app` joins the parts behind the service's own gate, `guard` checks who asks. Templates and
styles are files of this package; nothing comes from the network.
"""
