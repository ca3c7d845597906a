"""Tests of bearer tokens and rate limits."""

import pytest
from rich.console import Console

from metaflax import serving
from metaflax.serving._errors import ApiError
from metaflax.serving._tenants import RateLimit, Tenants

TOKEN = "a-token-of-length"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "write an object of tokens"),
        ('{"a": 1}', "write an object of tokens"),
        ("{}", "there is no token"),
        ('{"a": "short"}', "is short"),
        ('{"a": "a token with some spaces"}', "or has spaces"),
        (f'{{"a": "{TOKEN}", "b": "{TOKEN}"}}', "the same token"),
    ],
)
def test_a_file_of_unusable_tokens_is_refused_without_its_tokens(
    content, message, tmp_path
):
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        Tenants.read(tmp_path / "tokens.json")
    assert TOKEN not in str(caught.value)
    assert "tokens.json" in str(caught.value)


def test_each_token_names_its_tenant():
    tenants = Tenants({"ann": TOKEN, "bob": TOKEN[::-1]})
    assert tenants.tenant(f"Bearer {TOKEN}") == "ann"
    assert tenants.tenant(f"bearer {TOKEN[::-1]}") == "bob"
    with pytest.raises(ApiError, match="known token"):
        tenants.tenant("Bearer ñ")
    assert Tenants(None).tenant(None) == "anyone"


def test_requests_beyond_a_rate_wait_and_then_go_on():
    now = [0.0]
    limit = RateLimit(60, clock=lambda: now[0])
    for _ in range(60):
        limit.take("ann")
    with pytest.raises(ApiError, match="more than 60 requests") as caught:
        limit.take("ann")
    assert caught.value.headers["Retry-After"] == "1"
    limit.take("bob")
    now[0] += 1.0
    limit.take("ann")
    with pytest.raises(ApiError):
        limit.take("ann")


def test_without_tokens_other_machines_are_not_served():
    with pytest.raises(ValueError, match="give --tokens"):
        serving.serve(serving.ServerSettings(), Console(), host="0.0.0.0")
