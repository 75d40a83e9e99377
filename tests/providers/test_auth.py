"""How a target's credential reaches the provider, and what is refused before it is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.auth import bearer, key_header, secret_part
from providers.errors import ErrorKind, ProviderError
from providers.types import Secret, Target

KEY = "sk-test-0123456789"


def target(credential: Secret | dict[str, Secret] | None) -> Target:
    return Target(
        provider="acme", dialect="openai", base_url="https://a.example", model="m", credential=credential
    )


def test_a_single_secret_is_sent_as_it_is() -> None:
    assert bearer(target(Secret(KEY))) == {"authorization": f"Bearer {KEY}"}
    assert key_header(target(Secret(KEY)), "x-api-key") == {"x-api-key": KEY}


def test_of_a_mapping_the_api_key_is_sent() -> None:
    parts = {"api_key": Secret(KEY), "region": Secret("eu")}
    assert bearer(target(parts)) == {"authorization": f"Bearer {KEY}"}
    assert secret_part(target(parts), "region") == "eu"


@pytest.mark.parametrize("credential", [None, Secret(""), {}])
def test_a_target_without_a_credential_gets_no_header(credential: Secret | dict[str, Secret] | None) -> None:
    assert bearer(target(credential)) == {}
    assert key_header(target(credential), "x-api-key") == {}


def test_a_missing_part_is_named() -> None:
    with pytest.raises(ProviderError, match=r"'acme'.*'api_key'") as caught:
        bearer(target({"region": Secret("eu")}))
    assert (caught.value.kind, caught.value.sent) == (ErrorKind.AUTHENTICATION, False)


@given(
    st.text(max_size=20), st.sampled_from(["\r\n", "\n", "\r", "\0", " ", "é", "\x7f"]), st.text(max_size=20)
)
def test_a_credential_cannot_break_out_of_its_header_and_is_not_shown(
    left: str, bad: str, right: str
) -> None:
    with pytest.raises(ProviderError) as caught:
        bearer(target(Secret("sk-secret" + left + bad + right)))
    assert caught.value.kind is ErrorKind.AUTHENTICATION
    assert "sk-secret" not in str(caught.value)
