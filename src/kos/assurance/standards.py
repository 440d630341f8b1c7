"""The clauses that rules may cite, with what each is about in our own words.

A rule that cites a clause which is not here does not load: a wrong number is found before a reviewer finds
it. The numbers were compared on 2026-11-25 with texts that anybody can read:

- ETSI: draft-ietf-iotops-security-summary-01, which quotes each of these provisions from V2.1.1.
- IEC: the titles in public self-assessments of products, several of which agree. The standard itself is sold,
  and what is here was not compared with its text.
- NIST: the titles in the table of contents of the publication, as others reproduce it.
"""

from __future__ import annotations

from collections.abc import Mapping

from kos.assurance.errors import AssuranceError

ETSI_NAME = "ETSI EN 303 645 V2.1.1"
IEC_NAME = "IEC 62443-4-2"
NIST_NAME = "NIST SP 800-213A"

# ETSI EN 303 645 V2.1.1 (2020-06), clause 5: those provisions that a device's manifest can be judged by.
ETSI = {
    "5.1-1": "passwords are unique to a device or set by its user",
    "5.1-2": "passwords that are set in the factory are generated so that none tells another",
    "5.1-3": "users are authenticated with best practice cryptography",
    "5.1-4": "a user can change what authenticates",
    "5.1-5": "guessing over the network is made impracticable",
    "5.2-3": "known holes in components are watched for",
    "5.3-1": "all software can be updated securely",
    "5.3-2": "there is a mechanism to install updates securely",
    "5.3-7": "updates are protected with best practice cryptography",
    "5.3-9": "a device verifies that updates are authentic and whole",
    "5.3-10": "updates over a network are verified through a relationship of trust",
    "5.4-1": "sensitive parameters are stored securely",
    "5.4-2": "an identity in hardware resists tampering",
    "5.4-3": "no critical parameter is written into the software",
    "5.4-4": "critical parameters are unique to a device",
    "5.5-1": "communication uses best practice cryptography",
    "5.5-4": "functions on the network are reached after authentication",
    "5.5-5": "security is changed over the network after authentication",
    "5.5-6": "critical parameters are encrypted in transit",
    "5.5-7": "critical parameters stay confidential over remote interfaces",
    "5.5-8": "critical parameters are managed over their whole life",
    "5.6-1": "unused network and logical interfaces are disabled",
    "5.6-2": "interfaces tell as little as possible before authentication",
    "5.6-3": "no needless exposure of physical interfaces",
    "5.6-4": "a debug interface within reach is disabled in software",
    "5.6-5": "only services that are needed are enabled",
    "5.6-6": "code is kept to what is needed",
    "5.6-7": "software runs with the least privileges that it needs",
    "5.6-8": "memory is under access control by the hardware",
    "5.6-9": "software is developed by a secure process",
    "5.7-1": "software is verified by secure boot",
    "5.7-2": "a change that nobody authorised is reported and cut off from networks",
    "5.8-1": "personal data stays confidential in transit",
    "5.8-2": "sensitive personal data is encrypted between device and service",
    "5.9-1": "devices withstand outages of network and power",
    "5.9-2": "a device works on without a network and recovers after a power loss",
    "5.9-3": "a device connects in an orderly way",
    "5.10-1": "telemetry is examined for anomalies",
    "5.13-1": "input is validated",
}

# IEC 62443-4-2:2019, clauses 4 to 15, without those of networks, hosts and wireless.
IEC = {
    "CCSC 1": "essential functions go on",
    "CCSC 2": "compensating countermeasures",
    "CCSC 3": "least privilege",
    "CCSC 4": "secure development process",
    "CR 1.1": "human users are identified and authenticated",
    "CR 1.2": "software processes and devices are identified and authenticated",
    "CR 1.3": "accounts are managed",
    "CR 1.4": "identifiers are managed",
    "CR 1.5": "authenticators are managed",
    "CR 1.7": "strength of passwords",
    "CR 1.8": "public key infrastructure",
    "CR 1.9": "strength of authentication by public keys",
    "CR 1.14": "strength of authentication by symmetric keys",
    "CR 2.1": "authorisation is enforced",
    "CR 2.8": "auditable events",
    "CR 2.9": "room for audit records",
    "CR 2.10": "response to failures of auditing",
    "CR 2.11": "time stamps",
    "CR 2.12": "non-repudiation",
    "EDR 2.13": "use of physical diagnostic and test interfaces",
    "CR 3.1": "integrity of communication",
    "EDR 3.2": "protection from malicious code",
    "CR 3.3": "security functions are verified",
    "CR 3.4": "integrity of software and information",
    "CR 3.5": "input is validated",
    "CR 3.6": "outputs are deterministic after a failure",
    "CR 3.7": "errors are handled",
    "CR 3.8": "integrity of sessions",
    "CR 3.9": "audit records are protected",
    "EDR 3.10": "support for updates",
    "EDR 3.11": "resistance to physical tampering",
    "EDR 3.12": "roots of trust of the supplier",
    "EDR 3.13": "roots of trust of the asset's owner",
    "EDR 3.14": "integrity of the boot process",
    "CR 4.1": "confidentiality of information",
    "CR 4.2": "information is erased when it is no longer needed",
    "CR 4.3": "use of cryptography",
    "CR 5.1": "networks are segmented",
    "CR 6.1": "audit records can be read",
    "CR 6.2": "continuous monitoring",
    "CR 7.1": "protection from denial of service",
    "CR 7.2": "resources are managed",
    "CR 7.3": "back-up",
    "CR 7.4": "recovery",
    "CR 7.6": "settings of network and security",
    "CR 7.7": "least functionality",
    "CR 7.8": "inventory of components",
}

# NIST SP 800-213A (2021), the catalog of technical capabilities.
NIST = {
    "Logical Access to Interfaces": "who and what may use a device's interfaces",
    "Data Protection: Secure Storage": "stored data is protected",
    "Software Update: Update Capabilities": "software is updated by those who may",
    "Cybersecurity State Awareness: Event Identification and Monitoring": "events are watched for",
    "Device Security: Secure Execution": "code on the device is protected while it runs",
    "Device Security: Secure Communication": "communication is begun and ended securely",
    "Device Security: Secure Resource Usage": "resources and memory are used securely",
    "Device Security: Device Integrity": "changes that nobody authorised are kept out",
    "Device Security: Secure Device Operation": "the device operates securely and safely",
}
STANDARDS: Mapping[str, Mapping[str, str]] = {ETSI_NAME: ETSI, IEC_NAME: IEC, NIST_NAME: NIST}


class Source(str):
    """Clauses of one standard as a report shows them, or a practice in words."""

    standard: str
    clauses: tuple[str, ...]

    def __new__(cls, text: str, standard: str = "", clauses: tuple[str, ...] = ()) -> Source:
        made = super().__new__(cls, text)
        made.standard, made.clauses = standard, clauses
        return made


def cite(standard: str, word: str, clauses: tuple[str, ...]) -> tuple[Source, ...]:
    """A citation; `word` goes before the clauses.

    Raises:
        AssuranceError: the standard has no such clause, or it is about nothing that a manifest says.
    """
    for clause in clauses:
        if clause not in STANDARDS[standard]:
            raise AssuranceError(
                f"{standard} has no {clause!r} that a rule could cite", hint="see kos.assurance.standards"
            )
    return (Source(f"{standard}, {word}{', '.join(clauses)}", standard, clauses),)
