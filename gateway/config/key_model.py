"""What the routing file may say of a key: who it is, where it may go, and whom to tell."""

from typing import Annotated

from pydantic import Discriminator, Field, StringConstraints, Tag, model_validator

from gateway.config.fields import HookUrl, ModelName, ModelOrAll, Name, Part, SecretText
from gateway.config.limit_model import Limits


class Webhook(Part):
    """Whom to tell when a video is finished, and how that is signed."""

    url: HookUrl | None = Field(
        default=None, description="Where to, for requests that name no callback_url of their own."
    )
    secrets: Annotated[list[SecretText], Field(max_length=2)] = Field(
        default=[],
        description="What to sign with, each env:NAME or file:/path of a text whsec_...; two while receivers "
        "change from one to the other. Default: what `fairlead webhooks secret` shows.",
    )


class Key(Part):
    """A key that clients may use. More can be made while running; those live in the database."""

    name: Name = Field(description="What it is called in logs and reports; unique in this file.")
    hash: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-fA-F]{64}$")] | None = Field(
        default=None, description="sha256: and the SHA-256 of the key's text in hexadecimal digits."
    )
    key: SecretText | None = Field(
        default=None, description="Where the key's text is: env:NAME or file:/path."
    )
    models: list[ModelOrAll] = Field(
        default=["*"], description='Models it may use, by name; ["*"] means all.'
    )
    aliases: Annotated[dict[ModelName, ModelName], Field(max_length=100)] = Field(
        default={}, description="Names of its own for models, as in {gpt-4o: fast}."
    )
    limits: Annotated[
        Annotated[str, Tag("name")] | Annotated[Limits, Tag("list")],
        Discriminator(lambda value: "list" if isinstance(value, list) else "name"),
    ] = Field(default=[], description="The name of an entry of `limits`, or a list of limits of its own.")
    organisation: str = Field(
        default="", max_length=200, description="Who pays: shown in reports; limits may count by it."
    )
    project: str = Field(
        default="", max_length=200, description="What for: shown in reports; limits may count by it."
    )
    user: str = Field(
        default="", max_length=200, description="Who uses it: shown in reports; limits may count by it."
    )
    batch_concurrency: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None,
        description="Requests of its batches that run at the same time. Default: that of `defaults`.",
    )
    webhook: Webhook | None = Field(default=None, description="Whom to tell when one of its videos is over.")

    @model_validator(mode="after")
    def _one_source(self) -> "Key":
        if (self.hash is None) == (self.key is None):
            raise ValueError("needs exactly one of `key` (env:NAME or file:/path) and `hash` (sha256:...)")
        return self
