"""Names and units of everything we tell: a contract with dashboards. Nothing outside this list is emitted.

OpenTelemetry's semantic conventions (HTTP 1.44; GenAI conventions, schema 1.42.0, still "Development" on
2026-11-20) where they have a word, `gateway.*` where they have none.
"""

SCHEMA_URL = "https://opentelemetry.io/schemas/gen-ai/1.42.0"

SERVER_DURATION = "http.server.request.duration"
ACTIVE_REQUESTS = "http.server.active_requests"
OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - a metric's name
FIRST_CHUNK = "gen_ai.client.operation.time_to_first_chunk"
OVERLOADS = "gateway.overload.refusals"
IN_FLIGHT_LIMIT = "gateway.overload.limit"
OVERHEAD = "gateway.overhead.duration"
ADMISSIONS = "gateway.admission.decisions"
ATTEMPTS = "gateway.attempts"
FAILOVERS = "gateway.failovers"
TARGET_STATE = "gateway.target.state"
TARGET_IN_FLIGHT = "gateway.target.in_flight"
TARGET_LATENCY = "gateway.target.latency"
TARGET_SPEED = "gateway.target.speed"
TARGET_REST = "gateway.target.rest"
TRUNCATIONS = "gateway.stream.truncations"
DISCONNECTS = "gateway.client.disconnects"
COST = "gateway.cost"
RELOADS = "gateway.config.reloads"
GENERATION = "gateway.config.generation"
VIDEO_JOBS = "gateway.video.jobs"
VIDEO_ATTEMPTS = "gateway.video.attempts"
VIDEO_DURATION = "gateway.video.job.duration"
BATCHES = "gateway.batches"
BATCH_ROWS = "gateway.batch.rows"
WEBHOOKS = "gateway.webhook.deliveries"
WEBHOOK_LAG = "gateway.webhook.lag"

SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
OVERHEAD_SECONDS = (0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
VIDEO_SECONDS = (1, 2, 5, 10, 20, 40, 60, 120, 240, 480, 900, 1800, 3600)
WEBHOOK_SECONDS = (0.1, 0.5, 1, 5, 30, 120, 600, 1800, 3600, 14_400, 43_200, 86_400)
