import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.text.personal import PATTERNS, mask, own_pattern

ALL = [pattern for patterns in PATTERNS.values() for pattern in patterns]
KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n" * 3
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIyY2QwZTZiZC01ZjFlIn0.c2lnbmF0dXJlLW9mLWl0"


def masked(text, patterns=ALL):
    texts, counts = mask(pl.Series([text], dtype=pl.String), patterns)
    return texts[0], {kind: int(count[0]) for kind, count in counts.items()}


def of(kind, text):
    return masked(text, PATTERNS[kind])[0]


# -- e-mail and telephone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to jane.doe+x@mail.uni-bonn.de.", "write to <EMAIL>."),
        ("<mailto:j_d@a.co.uk>,k@b.org", "<mailto:<EMAIL>>,<EMAIL>"),
        ("联系我foo9@126.com谢谢", "联系我<EMAIL>谢谢"),
        ("a@b.museum a@b.travel", "<EMAIL> <EMAIL>"),
        ("you@example.com, a@b.example.org, x@host.test", None),
        ("user@yourdomain.com joe@foo.com nobody@x.org", None),
        ("git@github.com:a/b.git, noreply@github.com", None),
        ("icon@2x.png and getty@tty1.service", None),
        ("@decorator.name, a @ b.c, a@b, x@y.T, 2@3.4", None),
        ("content@filterEmpty.10.content", None),
    ],
)
def test_email(text, expected):
    assert of("email", text) == (expected or text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call +49 30 901820 now", "call <PHONE> now"),
        ("+1 (619) 459 6366 (8 to 5)", "<PHONE> (8 to 5)"),
        ("+44 (0)20 7946 0958, +352224455", "<PHONE>, <PHONE>"),
        ("(404) 542-3265 or 1-800-843-0008", "<PHONE> or <PHONE>"),
        ("206.548.5600", "<PHONE>"),
        ("Tel.: 030/901820", "Tel.: <PHONE>"),
        ("Telefax 0228 731234", "Telefax <PHONE>"),
        ("téléphone : 01 42 68 53 00", "téléphone : <PHONE>"),
        ("тел. 8 495 633-56-33", "тел. <PHONE>"),
        ("电话:021-54098575", "电话:<PHONE>"),
        ("+1 212 555 0123, (212) 555-0199, 555-0100", None),
        ("+2147483647 and phone: 0123456789", None),
        ("x**2 + 227625000*p, x**2 +227625000*p", None),
        ("[+4.19802020, +65.34963517]", None),
        ("+999 12345678", None),
        ("clause 252.227-7013, 911-555-1234", None),
        ("2015-11-23, 1990-2000, 10.1145/3292500", None),
        ("ISBN 978-0-306-40615-7, telling 12 of 40", None),
    ],
)
def test_phone(text, expected):
    assert of("phone", text) == (expected or text)


# -- addresses of machines -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("from 82.50.72.202, 38.107.191.66 and 144.76.166.14.", "from <IP>, <IP> and <IP>."),
        ("http://74.220.215.94/~x [192.76.144.75]:80", "http://<IP>/~x [<IP>]:80"),
        ("82.50.72.202 38.107.191.66\n144.76.166.14", "<IP> <IP>\n<IP>"),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", "<IP>"),
        ("[2a00:1450:4001:81b::200e]:443", "[<IP>]:443"),
        ("127.0.0.1 0.0.0.0 10.1.2.3 192.168.178.1 172.20.1.1 169.254.3.4", None),
        ("192.0.2.4 198.51.100.7 203.0.113.9 224.0.0.251 255.255.255.0", None),
        ("8.8.8.8 1.1.1.1 123.123.123.123 123.45.67.89 130.75.0.0", None),
        ("1.2.3.4, version 130.75.2.98, v5.126.3.200, kernel 2.6.32.59", None),
        ("1.3.6.1.4.1.311, 1.3.101.112, 300.1.2.300, 130.75.2.98.5", None),
        ("m.264.126 2.161.5.5 0 1", None),
        ("2001:db8::1 2001:4860:4860::8888 2002:c000:204:: fe80::1 ::1", None),
        ("2003:09:05 11:42:52, std::cafe::face", None),
    ],
)
def test_ip(text, expected):
    assert of("ip", text) == (expected or text)


# -- money -----------------------------------------------------------------------------------------


def check_digit(digits):
    """The last digit of a card: that which makes the sum by Luhn's table a multiple of ten."""
    doubled = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9]
    total = sum(
        doubled[int(digit)] if place % 2 == 0 else int(digit)
        for place, digit in enumerate(reversed(digits))
    )
    return str(-total % 10)


@pytest.mark.parametrize(
    ("prefix", "length"),
    [("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("6011", 16), ("3528", 16), ("36", 14)],
)
def test_card(prefix, length):
    rng = random.Random(length)
    right, wrong = [], []
    for _ in range(20):
        body = prefix + "".join(rng.choice("0123456789") for _ in range(length - len(prefix) - 1))
        last = int(check_digit(body))
        right.append(f"card {body}{last}, thanks")
        wrong.append(f"card {body}{(last + rng.randint(1, 9)) % 10}, thanks")
    texts, _ = mask(pl.Series(right + wrong), PATTERNS["card"])
    assert texts.to_list() == ["card <CARD>, thanks"] * 20 + wrong


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4539 1488 0343 6467 or 4539-1488-0343-6467", "<CARD> or <CARD>"),
        ("3714 496353 98431", None),
        ("4111 1111 1111 1111, 4242424242424242", None),
        ("4539148803436467.0 and 4539148803436467*t", None),
        ("539A 4539 1488 0343 6467 52BE", None),
        ("45391488-03436467, 4539 1488-0343 6467", None),
        ("1234567812345670", None),
    ],
)
def test_card_forms(text, expected):
    assert of("card", text) == (expected or text)


def account(country, body):
    """Write an IBAN, with check digits by division piece by piece (ISO 7064)."""
    rest = 0
    for character in f"{body}{country}00":
        for digit in str(int(character, 36)):
            rest = (10 * rest + int(digit)) % 97
    return f"{country}{98 - rest:02d}{body}"


@pytest.mark.parametrize(
    ("country", "body"),
    [
        ("DE", "500105175407324931"),
        ("FR", "20041010050500013M02607"),
        ("GB", "NWBK60161331926820"),
        ("NO", "86011117948"),
        ("NL", "ABNA0417164301"),
    ],
)
def test_iban(country, body):
    number = account(country, body)
    spaced = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    assert of("iban", f"to {number}, BIC X") == "to <IBAN>, BIC X"
    assert of("iban", f"IBAN {spaced} BIC") == "IBAN <IBAN> BIC"
    swapped = number[:-2] + number[-1] + number[-2]
    if swapped != number:
        assert of("iban", swapped) == swapped
    assert of("iban", number[:-1]) == number[:-1]


def test_the_example_of_the_registry_is_nobodys():
    assert of("iban", "DE89 3704 0044 0532 0130 00") == "DE89 3704 0044 0532 0130 00"


# -- secrets ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("AKIAJ56TQJRTWSMTNPEA.", "<SECRET>."),
        ("ghp_" + "aB3dE6gH9j" * 4, "<SECRET>"),
        ("key sk-proj-Ab3dEf6hIj9kLm2nOp5qRs", "key <SECRET>"),
        ("AIzaSyCodzMYMBdZIpxThSQqm79ACyheeRXPPE4", "<SECRET>"),
        ("xoxb-2048-a8b7c6d5e4f3", "<SECRET>"),
        (f"Bearer {JWT}", "Bearer <SECRET>"),
        ('password = "S3CuR1Ty!x"', 'password = "<SECRET>"'),
        ("export DB_PASSWORD=x9-Kp2mQ7 # no", "export DB_PASSWORD=<SECRET> # no"),
        ('{"api_key": "4784f5ddc534ec22"}', '{"api_key": "<SECRET>"}'),
        ("ftp://joe:h7Kp2mQx@host.org/", "ftp://joe:<SECRET>@host.org/"),
        (
            f"a\n-----BEGIN RSA PRIVATE KEY-----\n{KEY_BODY}-----END RSA PRIVATE KEY-----\nb",
            "a\n<SECRET>\nb",
        ),
        (f"-----BEGIN PRIVATE KEY-----\n{KEY_BODY}", "<SECRET>"),
        ("AKIAIOSFODNN7EXAMPLE and sk-learn-style-names-of-css", None),
        ("sk-ecdsa-sha2-nistp256-cert-v01@openssh.com", None),
        ("-----BEGIN PRIVATE KEY----- and its end", None),
        ('password = "changeme123", api_key="YOUR_KEY_1"', None),
        ("password = request.form.get('p1'), pwd = os.getcwd()", None),
        ("password=password1, token: Optional[str] = None", None),
        ("secret_key = base64.b16encode(x[8:])", None),
        ("http://user:password@host.org/, http://a:$PASS1@b", None),
        ("password_encryption = scram-sha-256", None),
        ("The secret: archaeologists in 1920s Egypt", None),
    ],
)
def test_secret(text, expected):
    assert of("secret", text) == (expected or text)


# -- all of them -----------------------------------------------------------------------------------


def test_finds_are_counted_by_kind():
    text = "a@b.de, c@d.fr; 82.50.72.202 +49 30 901820; AKIAJ56TQJRTWSMTNPEA"
    expected = {"email": 2, "ip": 1, "phone": 1, "secret": 1}
    assert masked(text) == ("<EMAIL>, <EMAIL>; <IP> <PHONE>; <SECRET>", expected)


def test_what_is_masked_has_nothing_more():
    text = f"a@b.de 82.50.72.202 ftp://joe:h7Kp2mQx@host.org {JWT} password: x9Kp2mQ7"
    once, _ = masked(text)
    assert masked(once) == (once, {})


def test_texts_with_the_characters_of_the_marks():
    text = "\ufdd00\ufdd1 a@b.de \ufdd01\ufdd1\ufdd0 c@d.de \ufdd0"
    assert of("email", text) == text.replace("a@b.de", "<EMAIL>").replace("c@d.de", "<EMAIL>")


def test_nulls_and_huge_texts():
    texts = pl.Series([None, "", "a@b.de " * 50_000, "1" * 10**6, "+" * 10**6, "a@" * 500_000])
    found, counts = mask(texts, ALL)
    assert found.to_list() == [None, "", "<EMAIL> " * 50_000, *texts[3:].to_list()]
    assert {kind: count.tolist() for kind, count in counts.items()} == {
        "email": [0, 0, 50_000, 0, 0, 0]
    }


def test_no_texts():
    assert mask(pl.Series([], dtype=pl.String), ALL)[1] == {}


PIECES = [
    *("a@b.de", "82.50.72.202", "+49 30 901820", "4539 1488 0343 6467", "AKIAJ56TQJRTWSMTNPEA"),
    *("you@example.org", "127.0.0.1", "v1.2.3.4", " ", "\n", ",", "\ufdd00\ufdd1", "é", "的", "\0"),
]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=5)).map("".join), max_size=6))
def test_each_text_is_treated_by_itself(texts):
    found, counts = mask(pl.Series(texts, dtype=pl.String), ALL)
    alone = [masked(text) for text in texts]
    assert found.to_list() == [text for text, _ in alone]
    for kind, count in counts.items():
        assert count.tolist() == [one.get(kind, 0) for _, one in alone]
    for before, after in zip(texts, found, strict=True):
        assert (before == after) == ("<" not in after or before.count("<") == after.count("<"))


def test_a_pattern_of_ones_own():
    pattern = own_pattern("ticket", r"(TCK)-(\d{3})|X{2}")
    assert masked("see TCK-123, XX", [pattern]) == ("see <TICKET>, <TICKET>", {"ticket": 2})


@pytest.mark.parametrize(
    ("expression", "message"),
    [("(", "is not a pattern"), ("x*", "matches the empty text"), (r"(?=a)", "is not a pattern")],
)
def test_what_is_no_pattern_is_refused(expression, message):
    with pytest.raises(ValueError, match=message):
        own_pattern("own", expression)
