"""A client that was generated from the contract, in the folder `sre_client` under the first argument, takes an incident.

Then: the base URL. Prints what it was told, one JSON object.
"""

import json
import sys

sys.path.insert(0, sys.argv[1])

from sre_client import Client
from sre_client.api.default import get_incidents, get_incidents_id, post_incidents_id_ack, post_test_incident
from sre_client.models import AckOrder, Error, GetIncidentsSeverity, GetIncidentsState, TestOrder, TestOrderSeverityType1

client = Client(base_url=sys.argv[2], raise_on_unexpected_status=True)
made = post_test_incident.sync(client=client, body=TestOrder(title="made by a client", severity=TestOrderSeverityType1.HIGH))
listed = get_incidents.sync(client=client, state=GetIncidentsState.OPEN, severity=GetIncidentsSeverity.HIGH)
assert [one.id for one in listed.incidents] == [made.incident.id], listed
taken = post_incidents_id_ack.sync(made.incident.id, client=client, body=AckOrder(actor="ann", reason="mine"))
seen = get_incidents_id.sync(made.incident.id, client=client)
assert taken.incident.state == seen.state, (taken.incident.state, seen.state)
lost = get_incidents_id.sync("inc_00000000000000000000", client=client)
assert isinstance(lost, Error), lost
print(json.dumps({
    "id": seen.id,
    "state": seen.state.value,
    "by": seen.acknowledged_by,
    "status": taken.status.value,
    "audited": taken.audit_id,
    "error": lost.code,
}))
