import subprocess

import pytest

from streams.live.settings import SettingsError, kafka_options, load_settings


def test_the_command_line_goes_over_the_environment_over_the_file_over_the_defaults(tmp_path):
    file = tmp_path / "settings.toml"
    file.write_text('topic_prefix = "file-"\npartitions = 3\nready_lag = 7\n')
    found = load_settings(
        file, {"CMVIGIL_TOPIC_PREFIX": "environment-", "CMVIGIL_PARTITIONS": "5"}, topic_prefix="line-", clock=None
    )
    assert (found.topic_prefix, found.partitions, found.ready_lag, found.clock) == ("line-", 5, 7, "wall")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("partitons = 3", "partitons"),
        ("partitions = 0", "partitions"),
        ("partitions = 'many'", "partitions"),
        ("clock = 'moon'", "clock"),
        ("= 3", "no TOML"),
        ('security_protocol = "SASL_SSL"', "sasl_username"),
        ('security_protocol = "SASL_SSL"\nsasl_username = "u"', "exactly one"),
        (
            'security_protocol = "SASL_SSL"\nsasl_username = "u"\nsasl_password = "p"\nsasl_password_file = "f"',
            "exactly one",
        ),
        ('security_protocol = "SASL_PLAINTEXT"\nsasl_username = "u"\nsasl_password = "p"', "allow_plaintext_sasl"),
        ('http_host = "0.0.0.0"', "http_token_file"),
        ('http_host = "hospital.example"', "http_token_file"),
        ('ssl_keyfile = "key.pem"', "ssl_keyfile: without ssl_certfile"),
        ("min_insync_replicas = 2", "min_insync_replicas"),
        ("session_timeout_seconds = 5.9", "session_timeout_seconds"),
        ('topic_prefix = "a b"', "topic_prefix"),
    ],
)
def test_what_is_mistyped_is_refused_by_its_name(tmp_path, text, said):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said):
        load_settings(file, {})


@pytest.mark.parametrize("name", ["", "alert_log_", "audit_log_", "dead_letters_"])
def test_what_is_to_be_read_is_kept_for_a_day_at_least_or_for_ever(name):
    setting = f"{name}retention_hours"
    for given in ("-1", "24", "61320"):
        assert getattr(load_settings(None, {f"CMVIGIL_{setting.upper()}": given}), setting) == int(given)
    for given in ("-2", "0", "23"):
        with pytest.raises(SettingsError, match=setting):
            load_settings(None, {f"CMVIGIL_{setting.upper()}": given})


def test_reasons_of_overrides_are_a_list_or_parted_by_commas(tmp_path):
    assert load_settings(None, {"CMVIGIL_OVERRIDE_REASONS": "seen, no risk,"}).override_reasons == ("seen", "no risk")
    file = tmp_path / "settings.toml"
    file.write_text('override_reasons = ["seen"]')
    assert load_settings(file, {}).override_reasons == ("seen",)


def test_a_missing_file_and_a_mistyped_variable_are_refused(tmp_path):
    with pytest.raises(SettingsError, match="No such file"):
        load_settings(tmp_path / "none.toml", {})
    with pytest.raises(SettingsError, match="CMVIGIL_PARTITION: no such setting"):
        load_settings(None, {"CMVIGIL_PARTITION": "4"})


def test_errors_and_texts_show_no_secret(tmp_path):
    given = {"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "hush-hush"}
    assert "hush-hush" not in repr(load_settings(None, {}, **given))
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {}, **given, partitions=0)
    assert "hush-hush" not in str(caught.value)


def test_secrets_come_from_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("sixteen-letters!\n")
    found = load_settings(
        None,
        {},
        security_protocol="SASL_SSL",
        sasl_username="u",
        sasl_password_file=secret,
        http_host="0.0.0.0",
        http_token_file=secret,
    )
    assert found.password() == found.http_token() == "sixteen-letters!"
    assert kafka_options(found)["sasl_plain_password"] == "sixteen-letters!"
    secret.write_text("fifteen-letters")
    with pytest.raises(SettingsError, match="fewer than 16"):
        found.http_token()
    secret.write_text("\n")
    with pytest.raises(SettingsError, match="sasl_password_file: empty"):
        found.password()
    secret.unlink()
    with pytest.raises(SettingsError, match="sasl_password_file: cannot be read"):
        found.password()


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A certificate and its key."""
    folder = tmp_path_factory.mktemp("pair")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return certificate, key


def test_files_for_tls_that_can_be_used_are_handed_on(pair):
    certificate, key = pair
    found = load_settings(
        None, {}, security_protocol="SSL", ssl_cafile=certificate, ssl_certfile=certificate, ssl_keyfile=key
    )
    assert kafka_options(found)["ssl_cafile"] == str(certificate)
    assert kafka_options(found)["ssl_keyfile"] == str(key)


@pytest.mark.parametrize("name", ["ssl_cafile", "ssl_certfile", "ssl_keyfile"])
def test_a_file_for_tls_that_is_missing_is_named(tmp_path, pair, name):
    certificate, key = pair
    given = {"ssl_cafile": certificate, "ssl_certfile": certificate, "ssl_keyfile": key}
    for wrong in (tmp_path / "none", tmp_path):
        with pytest.raises(SettingsError, match=f"^{name}: cannot be read$"):
            kafka_options(load_settings(None, {}, security_protocol="SSL", **given | {name: wrong}))


def test_a_file_for_tls_that_holds_something_else_is_named(tmp_path, pair):
    certificate, key = pair
    other = tmp_path / "other"
    other.write_text("no certificate")
    with pytest.raises(SettingsError, match="ssl_cafile: no certificates in PEM"):
        kafka_options(load_settings(None, {}, security_protocol="SSL", ssl_cafile=other))
    with pytest.raises(SettingsError, match="ssl_certfile, ssl_keyfile: no certificate"):
        kafka_options(
            load_settings(None, {}, security_protocol="SSL", ssl_certfile=certificate, ssl_keyfile=certificate)
        )
    # Where TLS is not asked for, nobody looks.
    assert "ssl_cafile" not in kafka_options(load_settings(None, {}, ssl_cafile=other))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_loopback_needs_no_token(host):
    assert load_settings(None, {}, http_host=host).http_token() is None
