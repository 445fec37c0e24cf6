"""What has to be promised besides what the code knows, so that a row deleted in `coverage.yaml` is missed.

The rows of `pod_table` are those of a task's life by workload; the others are what must be refused, fail,
be survived and be told.
"""

from collections.abc import Mapping
from itertools import product
from typing import Final

POD_TABLE: Final = frozenset(
    {
        "label only, Never: pod succeeds",
        "label only, Never: pod fails",
        "label only, Never: pod deleted",
        "label only, Never: pod evicted",
        "label only, Never: node gone",
        "label only, Never: second pod",
        "label only, Allow: next pod after the first",
        "label only, Allow: second pod",
        "label only, Allow: ends by deadline or state",
        "ref: object completes",
        "ref: object fails",
        "ref: object gone after having been seen",
        "ref: another object under the same name",
        "ref: pod finishes, revoked, waits for the next",
        "ref: drained, the replacement starts while the first terminates",
        "ref: a pod that the object does not own",
        "ref: another kind than Job, each condition",
        "ref: a pod of the object's Job",
        "ref: watched only while a task refers to it",
        "none: bound to the task alone",
        "none: a pod that claims it",
        "leaving pod: revoked, successor waits",
        "changed pod: image",
        "changed pod: ephemeral container",
        "issue at scheduling",
    }
)
"""What ends a task or takes its credential away, for each way to name a workload."""

BAD_INPUT: Final = frozenset(
    {
        "task names at 63, 64, 253 and 254 characters",
        "Agent names at 63 and 64 characters",
        "trust domains and paths: case, dots, percent, port, user, query, control and look-alike characters",
        "SPIFFE IDs at 2048 and 2049 bytes",
        "TTL 0, negative, 2 to the 63rd, NaN, true, text",
        "whole numbers that the API server makes of 9e2 and 900.0",
        "references to nothing",
        "a reference to itself",
        "a reference to another namespace",
        "a reference with a wrong UID",
        "specs of 1.4 MB",
        "lists of 100,000 elements",
        "deep nesting",
        "duplicate keys",
        "unknown fields",
        "NFC and NFD pairs",
        "forged labels",
        "labels that are too long",
        "a forged generation of the intent",
        "forged owner references",
        "forged annotations",
        "the API server and pydantic judge alike",
    }
)
"""What gets a clear error and changes nothing."""

ATTACKS: Final = frozenset(
    {
        "forged kopf annotations",
        "a tenant writes status",
        "a tenant writes requester",
        "a delegator one may not act for",
        "the intent changed without the rights for it",
        "security's suspension undone",
        "a planted Secret",
        "a frozen Secret",
        "a finalized Secret",
        "a pod that mounts another task's Secret",
        "the label added to a running pod",
        "the label changed on a running pod",
        "the label taken off a running pod",
        "a second pod claims a task",
        "an ownerless pod claims a Job's task",
        "a pod with a forged owner claims a Job's task",
        "a same-named pod after a delete",
        "a same-named task after a delete",
        "an owner reference to nothing",
        "a pod kept Terminating by a finalizer",
        "a template's author forged",
        "a task that claims to be a template's",
        "a template's task deleted so that its Job gets another one",
        "a pod of no Job asks for a template's task",
        "a task planted under the name of a Job that asks for a template",
        "another's template task with a changed intent",
        "a faked completion",
        "a suppressed completion",
        "renewal after the end",
        "many tasks to starve a neighbour",
        "self-approval",
        "an approval replayed on a clone",
        "an approval after an edit, and one after an edit and back",
        "two consumers of one approval",
        "a no overruled by a yes",
        "a parent that is not one's own",
        "a child wider than its parent",
        "a child longer than its parent",
        "a live child that takes more while its parent's new intent is undecided",
        "a child of who is between two pods and not allowed",
        "a child of what nobody is known to have asked for",
        "strangers that take all places of a task's children",
        "a child of what has ended",
        "an intent changed under a step's grant",
        "an emergency without the right",
        "an emergency that is changed or prolonged",
    }
)
"""What somebody with the rights of a tenant tries, and fails at."""

SURVIVAL: Final = frozenset(
    {
        "the task of a Job is made once, whenever the operator sees it",
        "kill -9 at each write of an issue",
        "kill -9 at each write of an end",
        "kill -9 at each write of a renewal",
        "kill -9 while a leftover is written over",
        "a reply that was lost",
        "what an operator wrote after it was replaced",
        "a predecessor's emptied Secret goes while a successor waits",
        "a tenant who writes the task all the time",
        "a refused wipe is told and tried until it succeeds",
        "an end whose status is refused takes the key",
        "a refused renewal leaves the credential as it was",
        "a refused Secret is not said to be issued",
        "the Event of an end does not wait for a wipe that fails",
        "a status that a newer version wrote",
        "a namespace finalized by force",
        "an end by deletion is counted",
        "crash after every action, any history",
        "an end that came while no operator ran",
        "restart among quiet tasks: no write",
        "wipe across a restart",
        "SIGTERM finishes what was begun",
        "clean restart: nothing issued anew",
        "doubt at SIGTERM is handed on",
        "a write is over before its lease can be another's",
        "a broken watch of workloads goes on and misses nothing",
        "watched namespaces only, rights included",
        "two operators, one leads",
        "two leaders leave one live credential",
        "410, re-list",
        "what no watch ever showed",
        "intent changed while Suspended",
        "suspended during a renewal",
        "ended during a renewal",
        "intent changed during a renewal",
        "pod replaced during a renewal",
        "Agent switched off during an issue",
        "a renewal widens nothing",
        "API server restart",
        "each rule and binding removed or weakened stops issuance",
        "no response to the operator carries another's Secret",
        "a stale view issues nothing, ends go on",
        "a clock that is set moves no end",
        "a clock that is wrong issues nothing",
        "a token that cannot be read for a moment",
        "six writes and two Events a life",
    }
)
"""What the operator comes through, and with what guarantee."""

CHART: Final = frozenset(
    {
        "installed under Pod Security restricted, a leader and a standby",
        "no trust domain, no installation",
        "an upgrade from the release before keeps what lives",
        "an upgrade to other values keeps what lives",
        "uninstalled with live tasks: nothing is stuck, no certificate outlives its TTL",
        "uninstalled with its CRDs: nothing is stuck",
        "the commands of NOTES end all tasks first",
        "each object is as the API server describes its kind",
        "the linter has nothing to say",
        "a decision point in pods of its own, off until it is asked for",
        "the default policy comes with the first installation, and then belongs to the platform team",
        "the examples are allowed by the default policy",
        "exactly the operator's rights, for all namespaces and for some",
        "exactly the tenants' rights",
        "typing errors and wrong values are refused",
        "every setting of the operator has a value or a reason",
        "no image but ours",
        "each alert has its runbook",
        "ledger, revocation, decision log and reports of decision points have alerts",
    }
)
"""What a platform team installs."""

TELLING: Final = frozenset(
    {
        "describe tells the whole story in order",
        "wait returns on every end",
        "each transition has a log line with task, uid and serials",
        "related names the pod or Secret that an Event is about",
        "the later deletion of an emptied Secret is told, one at an end is not told twice",
        "a predecessor's Secret is no alarm, a planted one is",
        "a resumption stays one while issuance is blocked",
        "Events in a terminating namespace: a log line, no retry",
        "conditions as kstatus wants them",
    }
)
"""What people and their tools read of a task."""

DOCTOR: Final = frozenset(
    {
        "a healthy installation is well",
        "a rule that is missing, changed or not applied",
        "a right that is missing, too many or everybody's",
        "policies that are not there or not in force",
        "an authority that is gone, damaged or about to end, and no key shown",
        "a Secret whose task is gone",
        "a Secret that outlives its task's end",
        "a lease that nobody holds or renews",
        "a clock that is wrong",
        "a version that does not fit",
        "pods that are not ready or expect other rules",
        "a heartbeat that is missing or old while a decision point runs",
        "what could not be seen is said, and is not well",
        "a trial comes and goes with few rights",
        "every alert has a runbook, every log message, Event and reason a row",
        "a CRL that is gone, old, cut or of another authority",
        "a ledger that is not whole, of another key or too much",
    }
)
"""What `agentid doctor` and the documents tell the people who run it."""

CLI: Final = frozenset(
    {
        "a pod that poses as the operator is not believed",
        "done is said only of what the operator has acted on, and of nothing that it refused",
        "one name that is wrong stops none of the others",
        "what was changed is told, whatever fails afterwards",
        "cases run in CI, with an exit code",
        "the published schema",
        "what is simulated is what is decided",
        "drafts are judged as if applied",
        "the text in force counts, also while a newer one is refused",
        "who would lose and gain is who does",
        "why: the decision, its rules, the facts, what would have to change",
        "what the caller may not see is said",
        "one task suspended, resumed, ended",
        "all live tasks of an agent or a person, with one command",
        "a thousand at once",
        "a dry run changes nothing and tells what would be refused",
        "the wrong people are refused and told why",
        "a task of the same name is not the one that was meant",
        "exit codes and forms of output",
        "errors name the object and what to do, with no traceback",
        "completion and kubectl plugin",
        "what is live, whose, and until when",
        "ten thousand tasks are listed by pages and not kept",
        "standing credentials of agents are found with what to do",
        "no contents of a Secret leave the API server for it",
        "the operator's start imports nothing of other commands",
        "what waits for an approval is listed, and shown with what exactly is asked",
        "what is approved is what was shown, and the operator counts it",
        "nobody is told that a yes counts which does not",
        "what was changed since it was shown is not approved",
        "what differs from what was approved last",
        "a second yes, one of two, and two at once",
        "a no is heeded, and no yes is said after it",
        "a family, from its uppermost task down",
        "emergencies, live and over",
    }
)
"""What people get who use the command line."""

WRITES: Final = (
    "issue_status",
    "issue_secret",
    "issue_event",
    "renewal_status",
    "renewal_secret",
    "renewal_event",
    "end_status",
    "end_wipe",
    "end_delete",
    "end_event",
)
AT_A_WRITE: Final = (
    "cut_before_commit",
    "cut_after_commit",
    "conflict_409",
    "too_many_429",
    "error_500_after_commit",
    "hang_90s",
)
FAULTS: Final = frozenset(f"{fault} at {write}" for fault, write in product(AT_A_WRITE, WRITES)) | {
    "a life that nothing befell",
    "Retry-After is kept",
    "a key written first after its task's end",
    "API server restart",
    "etcd stopped for 60 s at a deadline",
    "watch silent with the connection open",
    "410, the watch's version is too old",
    "rights on Secrets removed at an end",
    "quota exceeded",
    "clock moved two hours back",
    "clock moved two hours forward",
    "clock two hours wrong at start",
    "leader stopped for 45 s at each write",
    "5,000 deadlines in one second",
}
"""What goes wrong around the operator; `docs/faults.md` says what came of it and within which bound."""

POLICY: Final = frozenset(
    {
        "a text is bounded and held to the schema",
        "what is kept of policies is bounded, and beyond it a layer denies",
        "no accepted text makes a decision expensive, and a denial is asked again a few times at most",
        "the policies of tenants hold up neither those of the cluster nor the event loop",
        "an invalid text replaces no accepted one, after a restart neither",
        "an accepted text that cannot be read any more denies",
        "a refused text is told with line and column, Event and metric",
        "a status is written once, by the active operator, until it is",
        "both layers must allow",
        "nothing installed denies and says what to install",
        "a namespace that requires policies denies without one",
        "whatever goes wrong denies",
        "asked about the task, its Agent and its pod as they are",
        "asked at issue, renewal, resume, change of intent and of pod",
        "a rule about renewals reaches who runs on a first credential",
        "asked again when a policy or a namespace's labels change",
        "asked again when the Agent changes",
        "a change of policy over many tasks keeps no other waiting",
        "a namespace that no watch has shown yet is looked at",
        "asked again when the time may turn the answer",
        "nothing is issued or kept without an allowing answer",
        "a denial ends what has started, doubt and a missing approval take its credential",
        "a task that is not allowed waits until its start deadline",
        "what is said of no pod ends no task between two",
        "all policies are known before a task is decided on",
        "what the watches missed of policies is found",
        "whoever is killed while it tells of policies or carries out a change ends at the same",
        "what is no policy is refused by the API server",
        "policies are written by whom the roles say, their statuses by the operator only",
        "the worked policies do as their cases say",
    }
)
"""What policy decides, and that nothing goes without its answer."""

STATIC_SECRETS: Final = frozenset(
    {
        "a copy comes with the credential and goes with it",
        "only for the Agent, the actions and the time that the AgentSecret says",
        "policy is asked about each, and takes it away within seconds",
        "a tenant reads no source, names no namespace and learns of no other's secret",
        "the operator reads what is listed, by name, and hands on nothing of its own",
        "who writes an AgentSecret may read its source",
        "a rotation reaches live copies, also across a restart, and prolongs nothing",
        "the end of the AgentSecret or the source ends copies",
        "a source in doubt issues nothing and takes nothing",
        "the files of running pods have it, follow a rotation, and are empty after the end",
        "kill -9 at each request of an issue, a rotation and a wipe",
        "each use is recorded, and no value is kept, logged or told",
        "the example",
    }
)
"""What is promised of secrets that can't be short-lived."""


AUTHORITY: Final = frozenset(
    {
        "a waiting task says who may approve what",
        "an approval expires",
        "an approval is withdrawn",
        "several people at once",
        "what was said while no operator ran",
        "what cannot be read may be a no",
        "authority comes down from the uppermost task",
        "an end reaches every descendant",
        "an end reaches every descendant after a kill",
        "a suspension reaches every descendant",
        "a narrowing reaches every descendant",
        "children that come while their parent ends",
        "circles, self, wrong UID, nothing and depth are refused",
        "children are bounded",
        "a step is shown while it lasts, without a Secret",
        "policy is asked whether authority may be taken from somebody else",
        "never wider under any sequence of edits",
        "an emergency asks the cluster alone",
        "an emergency is told, counted and marked",
        "one label on a CronJob gives each run an identity of its own",
        "an emergency is one credential and waits for no room",
        "a credential that was taken away comes back only to what ran",
        "the record says what was asked for and who changed it",
        "each text of a policy that is accepted or refused is recorded",
        "each decision is one line of fixed fields",
    }
)
"""Whose word a task needs: of those above it, and of those who approve."""

LEDGER_OBJECTS: Final = frozenset(
    {
        "a batch is called like its sequence number, and one that is there is not written over",
        "what a batch may say is bounded, and refused with what is wrong",
        "a batch is not changed, where its rule is gone neither",
        "all batches are listed once and in order, also when the list expires",
        "without the lease nothing of the ledger is written",
        "operators agree on one key, and rotate it once",
        "the key is the operator's to read, nobody's source, and not deleted by it",
        "a damaged key is told, and neither replaced nor shown",
        "exactly the operator writes the ledger, and exactly an auditor reads it besides",
        "the evidence outlives the chart, and goes with its namespace",
    }
)
"""What is promised of the objects that the ledger is kept in, and of the Secret with its key."""

LEDGER: Final = frozenset(
    {
        "a record is read in one form only, RFC 8785",
        "every entry fits into a record, and every queue into batches",
        "the fullest batch is less than etcd takes",
        "the tree is RFC 6962's",
        "the ledger's key is never shown",
        "what nobody could read is not signed",
        "whatever is edited, taken out, put in, swapped or cut off is found",
        "history made anew is found, by who knows the key or a head",
        "a rotation of the key is followed, wherever the chain begins",
        "a beginning is gone only as far as a checkpoint lets it",
        "nobody's word for the key is said to be nobody's",
        "what is out is known from the records alone",
        "an end without issue, an issue without end, a life that is too long",
        "no more is kept than what is live",
        "no key without its record, whatever is killed, cut off, late or written twice",
        "what was recorded and not released is taken back, and every end is recorded",
        "while nothing can be recorded nothing is released, and ends go on",
        "who meets another's batch stops, and the chain never forks",
        "a ledger that is not whole issues nothing and says what to do",
        "a leader that stood still around a record leaves one chain and one key",
        "however many tasks there have been, it is bounded, and whole across what went",
        "what was given and nobody knows whether is remembered no longer than it may count",
        "what was recorded after an end and voided is no finding, and what was not is",
        "what waits to be recorded goes out in its order, and again if its batch was refused",
        "who changes it behind the API server is found within the hour, and nothing is issued",
        "who ends records what was refused, within bounds, or says how much is not",
    }
)
"""What the ledger shows, and to whom."""
REVOCATION: Final = frozenset(
    {
        "OpenSSL refuses what is revoked, and takes what is not",
        "an end is in the CRL within two seconds, a burst in one",
        "it is signed, numbered, current, with reasons that are never a hold",
        "an entry stays until it was in a CRL past its certificate's end",
        "a takeover, a restart or another writer un-revokes nothing",
        "what an intermediate signed before its renewal is revoked",
        "more than fits is cut and told",
        "more than fits into a ConfigMap is signed whole, in parts of which few change, gone when it fits",
        "the decision point serves the whole CRL, or the one before while it counts, and never parts of two",
        "outage of API server or authority: told, and made good",
        "a certificate says where its CRL is, if that is set",
        "what has ended is refused by OpenSSL with the CRL of the cluster, also after a restart",
    }
)
"""What holds of certificates that were taken away, for who asks nobody."""

SINKS: Final = frozenset(
    {
        "every sink gets every batch, in order and at its own pace",
        "memory is bounded, what does not fit is read again",
        "required and down or slow: nothing is issued",
        "optional and down: a metric, nothing else",
        "only what a sink surely has is pruned",
        "a takeover goes on where it ended",
        "files: nothing counts before it is on the disk, a crash tears nothing",
        "files: disk full, failed fsync, rotation, bounds",
        "HTTP: only 2xx is taken, Retry-After, no redirect",
        "HTTP: addresses that must not be asked, TLS, token",
        "CloudEvents: every record once, bodies bounded",
        "standard output: the same line as ever",
        "each sink is a witness, whatever its receiver keeps",
        "without its required receiver nothing is issued, ends go on, and it gets all afterwards",
    }
)
"""What holds of the record on its way out of the cluster."""

AUDIT: Final = frozenset(
    {
        "a ledger is verified without a cluster, and one byte changed is found",
        "a checkpoint is kept, compared, and replaced only by who compared it",
        "without a key nobody is said to have vouched for a ledger",
        "however long a ledger is, little of it is in memory",
        "the story of a task that is long gone is told by the ledger alone",
        "records are found by agent, person, kind, time and serial number",
        "what was tampered with, or is not signed, is not told as if it were",
        "one record is shown to others, and nothing of another",
        "an agent's report: what was given, how it ended, what could be narrowed; no use is made up",
        "only an auditor reads the ledger, and evidence is not written over",
    }
)
"""What is promised to whoever reads the ledger."""


DECISIONS: Final = frozenset(
    {
        "a copied key is refused after the end, its serial is in the CRL, and a changed byte is found",
        "decision points run in pods from the chart, and a pod asks them",
        "an ended task is refused from the moment that the view says so",
        "both credentials count during a renewal",
        "a live step grants, and one that has ended does not",
        "a child is refused with its parent",
        "a reused name inherits nothing",
        "nobody hears of another namespace's tasks",
        "a view may be older for Public and Internal only where that is configured",
        "without a serial only Public, where that is configured",
        "without a sign of life of the operator it denies",
        "the leader alone shows that it lives, in what each decision point watches",
        "a heartbeat that fails disturbs nothing",
        "the heartbeat is no task to anybody",
        "fault: API server gone",
        "fault: watch silent with the connection open",
        "fault: old news that come steadily",
        "fault: clock jumps",
        "fault: policy broken",
        "fault: restart under load",
        "fault: one of two replicas lagging",
        "a compromised decision point can write its own reports alone and read no Secret",
        "the example's Envoy lets an agent through until its task ends, and nobody without an answer",
        "both layers decide on a call, alike the quick way and rule by rule",
        "an engine that panics denies",
        "policy hears of the call and of what runs",
        "no object and no question raises",
        "what fits no route is denied",
        "a path or body that can be read in two ways is denied",
        "a tool of MCP is mapped by the message",
        "AuthZEN: a denial is 200",
        "AuthZEN: what is no question is 400",
        "AuthZEN: a batch by its semantics",
        "AuthZEN: X-Request-ID comes back",
        "ext_authz: OK or 403 with the reason",
        "ext_authz: who calls is who the configured source says",
        "who asks shows who it is: certificate",
        "who asks shows who it is: token for the decision point",
        "whoever does not show who it is gets no answer",
        "every denial and each first use is in the decision log, which is chained",
        "a full disk stops no decision unless that is configured, and what is lost is said",
        "whatever is asked can be written",
        "every decision is reported once",
        "a report is in the ledger before it is gone",
        "a decision point that is taken over fills no ledger and stops none",
        "a line of a decision log that was changed is found",
        "a report that is missing is found",
        "the story of a task tells what it was used for and what was refused afterwards",
        "the report sets what was granted against what was used",
        "the CRL is served to everybody",
        "a new certificate is served without a restart",
        "a client CA that is taken out is trusted no more",
    }
)
"""What the decision point keeps to."""

TRACES: Final = frozenset(
    {
        "off or without the extra nothing is loaded, and a start that needs it says what brings it",
        "issue, renewal and end of a task are in the trace of whoever applied it, with what they wrote",
        "a pass that gives and ends nothing is not sent, unless it asked OPA",
        "a decision is in the trace of whoever asked, by each way of asking",
        "a bad traceparent is ignored",
        "requests to OPA and to the receiver of the record say by which span they are made",
        "what failed has failed in the trace too",
        "attributes are bounded, and hold no key and no other tenant's task",
        "nobody waits for a collector, and what it does not take is counted",
        "the standard's variables count, and one that does not fit stops the start",
        "the chart sends them to its collector, and lets them through",
    }
)
"""What holds of traces."""

BY_SECTION: Final[Mapping[str, frozenset[str]]] = {
    "pod_table": POD_TABLE,
    "bad_input": BAD_INPUT,
    "attacks": ATTACKS,
    "authority": AUTHORITY,
    "chart": CHART,
    "survival": SURVIVAL,
    "telling": TELLING,
    "doctor": DOCTOR,
    "cli": CLI,
    "faults": FAULTS,
    "policy": POLICY,
    "static_secrets": STATIC_SECRETS,
    "ledger_objects": LEDGER_OBJECTS,
    "ledger": LEDGER,
    "revocation": REVOCATION,
    "sinks": SINKS,
    "audit": AUDIT,
    "decisions": DECISIONS,
    "traces": TRACES,
}
