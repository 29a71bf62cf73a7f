"""The stripe SDK, as an application uses it. Usage: with_stripe.py works|refused [API_BASE]

Without API_BASE the SDK calls https://api.stripe.com itself, and STRIPE_PROXY or HTTPS_PROXY says by which way.
`works`: customers are charged and declined. `refused`: the breaker is open, and the SDK says so in its usual way.
Prints the idempotency keys it chose.
"""

import os
import sys

import stripe

stripe.api_key = "sk_test_of_the_tests"
stripe.ca_bundle_path = os.environ.get("STRIPE_CA", stripe.ca_bundle_path)
stripe.proxy = os.environ.get("STRIPE_PROXY")
if len(sys.argv) > 2:
    stripe.api_base = sys.argv[2]


def card(number):
    return stripe.PaymentMethod.create(
        type="card", card={"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    )


def pay(customer, method, **more):
    return stripe.PaymentIntent.create(
        amount=1250, currency="eur", customer=customer.id, payment_method=method.id, confirm=True, **more
    )


def declined(what, act):
    try:
        act()
    except stripe.CardError as error:
        assert (error.http_status, error.code) == (402, "card_declined"), error
        assert error.headers["Content-Type"].startswith("application/json"), error.headers
    else:
        sys.exit(f"{what} was not declined")


def works():
    customer = stripe.Customer.create(
        email="müller@example.com", description="a & b = c", metadata={"order": "ü"}
    )
    assert customer.email == "müller@example.com" and customer.metadata["order"] == "ü", customer
    method = card("4242424242424242")
    stripe.PaymentMethod.attach(method.id, customer=customer.id)
    intent = pay(customer, method)
    assert (intent.status, intent.amount) == ("succeeded", 1250), intent
    assert stripe.PaymentIntent.retrieve(intent.id).status == "succeeded"

    # A list of several pages.
    for number in range(12):
        stripe.Customer.create(name=f"customer {number}")
    names = {one.name for one in stripe.Customer.list(limit=5).auto_paging_iter() if one.name}
    assert names == {f"customer {number}" for number in range(12)}, names

    # What the bank says no to is an answer, not a failure.
    declined("attaching", lambda: stripe.PaymentMethod.attach(card("4000000000000002").id, customer=customer.id))
    refused_later = card("4000000000000341")
    stripe.PaymentMethod.attach(refused_later.id, customer=customer.id)
    for _ in range(4):
        declined("paying", lambda: pay(customer, refused_later))
    try:
        stripe.Customer.retrieve("cus_nobody")
        sys.exit("a customer that nobody created was found")
    except stripe.InvalidRequestError as error:
        assert error.http_status == 404, error

    # Asked twice under one key, the vendor acts once.
    once = pay(customer, method, idempotency_key="order-17")
    again = pay(customer, method, idempotency_key="order-17")
    assert once.id == again.id, (once.id, again.id)
    assert again.last_response.headers["Idempotent-Replayed"] == "true", again.last_response.headers
    print("order-17")


def refused():
    stripe.max_network_retries = int(os.environ["RETRIES"])
    try:
        stripe.Customer.create(name="nobody")
        sys.exit("there was an answer")
    except stripe.StripeError as error:
        print(type(error).__name__, error.http_status, (error.json_body or {}).get("error", {}).get("code"))


{"works": works, "refused": refused}[sys.argv[1]]()
