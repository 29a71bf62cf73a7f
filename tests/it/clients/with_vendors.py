"""The vendors' own libraries while the breaker is open: one call each, and what its user catches is printed. Usage:
with_vendors.py VENDOR [BASE]. With BASE the library is pointed at the local listener, else HTTPS_PROXY says by which way."""

import json
import sys

vendor, base = sys.argv[1], (sys.argv + [None])[2]


def stripe():
    import stripe

    stripe.api_key = "sk_test_of_the_tests"
    stripe.max_network_retries = 2
    if base:
        stripe.api_base = base
    stripe.PaymentIntent.create(amount=1250, currency="eur")


def sendgrid():
    from sendgrid import SendGridAPIClient
    from sendgrid.helpers.mail import Mail

    client = SendGridAPIClient("SG.of_the_tests", **({"host": base} if base else {}))
    client.send(Mail("shop@example.com", "ann@example.com", "Your booking", "At nine."))


def twilio():
    from twilio.rest import Client

    client = Client("AC00000000000000000000000000000000", "of_the_tests")
    if base:
        client.api.base_url = base
    client.messages.create(to="+15005550006", from_="+15005550006", body="At nine.")


def google_calendar():
    from googleapiclient.discovery import build

    options = {"client_options": {"api_endpoint": f"{base}/calendar/v3/"}} if base else {}
    calendar = build("calendar", "v3", developerKey="of_the_tests", static_discovery=True, **options)
    calendar.events().list(calendarId="primary").execute(num_retries=0)


def words(error):
    """Its class, its status and what it says, each by the names that the library gives them."""
    status = next((getattr(error, name) for name in ("http_status", "status_code", "status") if hasattr(error, name)), None)
    said = getattr(error, "user_message", None) or getattr(error, "msg", None) or getattr(error, "reason", None)
    if vendor == "sendgrid" and base:
        said = json.loads(error.body)["errors"][0]["message"]
    return [f"{type(error).__module__}.{type(error).__name__}", status, str(said)]


try:
    {"stripe": stripe, "sendgrid": sendgrid, "twilio": twilio, "google_calendar": google_calendar}[vendor]()
    sys.exit("there was an answer")
except Exception as error:
    print(json.dumps(words(error)))
