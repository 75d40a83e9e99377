"""The fault laboratory: providers, servers and processes that fail on command, and what must hold all the same.

Read in this order, fifteen minutes in all:

| module | what |
|---|---|
| `speech.py` | an answer of sixty words, and every failure, in the words of each of our three chat dialects |
| `upstream.py` | a provider on a real socket that does with each request what its `Act` says |
| `callers.py` | who asks the gateway, and all that they saw of the answer |
| `stage.py` | one gateway, and for each pair of dialects a route with a primary and a fallback |
| `history.py` | what callers saw, what providers did and what was booked, and the invariants over them |
| `killer.py` | kills and starts real server processes while others work |
| `parts.py` | the parts of a fleet as processes under supervisors, and who kills them |
| `fleet.py` | two gateways, a worker, PostgreSQL, Redis, a provider that knows no repeats, a receiver of webhooks |
| `crowd.py` | who orders videos from the fleet and looks at them |
| `verdict.py` | what a run of chaos left behind, from the outside, and the promises it must have kept |
| `chaos.py` | the run: orders, kills, rest, verdict |
| `meter.py` | a provider that knows to the token what it bills |
| `spending.py` | gateways that spend with it while they and their Redis are killed, and Redis forgets |
| `accounts.py` | whether provider, ledger, counters and what is listed as unsettled agree then |

Beside it stand the older parts that it is made of: `tests/transport/faulty.py` (a raw HTTP server, byte by
byte), `tests/upstreams.py` (recorded answers), `tests/faults.py` (a TCP proxy for Redis and PostgreSQL that
delays, hangs, cuts and refuses) and `tests/servers.py` (private Redis and PostgreSQL servers).
"""
