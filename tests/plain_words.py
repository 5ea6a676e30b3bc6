"""The words that texts for operators and readers avoid; documentation and product share the list."""

from __future__ import annotations

import re

FOREIGN = re.compile(
    r"\b(tells?|told|telling|somebody|anybody|nobody|whoever|cures?|so many|so much|so often|in the midst"
    r"|beside|what is refused|stands (for|in|on|at|beside)|its time|likewise|meanwhile|thereby"
    r"|behaviour|centre[ds]?|colours?|judgements?|licence|learnt|neighbours?|optimisers?|(normal|optim|recogn)is\w+)\b"
    r"|\bso long (a|the|it|as a) ",
    re.IGNORECASE,
)
