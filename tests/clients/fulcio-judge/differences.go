package main

import "regexp"

// A difference that is wanted; docs/divergences.md has each of them. One that is not seen fails as much as one that is not here.
type difference struct {
	pattern *regexp.Regexp
	reason  string
}

func wanted(pattern, reason string) difference {
	return difference{regexp.MustCompile(pattern), reason}
}

// Patterns are compared with lines of the form `case | door | field | theirs: … | ours: …`; the first that matches counts.
var expected = []difference{
	wanted(`claim (url|api_url|base_url) \|`, "a claim does not replace a default that says something"),
	wanted(`: a large number \|.* theirs: .*1\.23456789012e\+11`, "numbers are written without an exponent (fulcio #2406, mended after the release)"),
	wanted(`ours: .*expected a string, a number or a boolean, got an (array|object)`, "lists and objects have no text that a template could use"),
	wanted(`: null \|.* ours: .*(map has no entry for key|not present in either claims or defaults)`, "a claim that is null is missing"),
	wanted(`^(codefresh|buddy), \w+: null \| HTTP v2 \| (order of extensions|1\.3\.6|2\.5\.29\.17|URIs).*(<nil>|%3Cnil|theirs: \[2\.5)`, "a claim that is null is missing"),
	wanted(`^codefresh, platform_url: empty \|`, "an empty claim does not replace a default that says something"),
	wanted(`^circleci, .*: missing \| HTTP v2 \| status \| theirs: 200 .*map has no entry for key`, "index on a claim that is missing is an error"),
	wanted(`^(kubernetes|clusters/7), .*\| (status|message) \|.*ours: .*kubernetes\.io\.(namespace|serviceaccount\.name): expected`, "a service account has a namespace and a name as Kubernetes makes them"),
	wanted(`\| (status|message) \|.*ours: .*: sub: expected a string, got (none|"")`, "a subject is needed"),
	wanted(`^(chainguard|[a-z]+-legacy), .*ours: .*expected a path without empty or relative segments`, "segments of a path are not cleaned but refused"),
	wanted(`^gitlab-legacy, ci_config_ref_uri: a host \|`, "GitLab names its configuration without a scheme"),
	wanted(`\| (status|message) \|.*ours: .*subject alternative name: expected a URI`, "a subject is a URI with scheme and host, without control characters; the cause is told in our words"),
	wanted(`\| (status|message) \|.*ours: .*: sub: expected a (name of at most|SPIFFE ID of trust domain)`, "names are bounded in length and have no control characters"),
	wanted(`^email, address (a{65}@|a@b\.b\.).*\| status \| theirs: 200`, "addresses are as long as RFC 5321 allows"),
	wanted(`^dex, federated_claims (a number|null|empty) \|`, "an issuer claim is a text that says something"),
	wanted(`^(unverified|email), email_verified <nil> \|`, "a claim that is null is missing"),
	wanted(`^token exp a text \|`, "times are numbers (RFC 7519 §2)"),
	wanted(`^token at_hash a number \|`, "at_hash is not read"),
	wanted(`^token crit (empty|null) \|`, "crit is never understood, whatever it lists (RFC 7515 §4.1.11)"),
	wanted(`^token payload, (claim|iss) in capitals \|`, "claims have one name"),
	wanted(`^token payload, (nested deeply|a lone surrogate|no UTF-8) \|`, "payloads are JSON of bounded depth, in UTF-8"),
	wanted(`^key (signing request )?(with data behind|twice) \|`, "nothing stands behind a PEM block"),
	wanted(`^key P-224.*\| message \|`, "a curve that is not supported is no key"),
	wanted(`^key (RSA|P-384) signing request by (SHA-256|SHA-512|PSS) \|.*\| message \|`, "the refusal is in our words"),
	wanted(`^body with data behind \|`, "nothing stands behind the JSON"),
	wanted(`^body .*\| message \|`, "what is wrong with a body is told in our words"),
	wanted(`^header Authorization in lower case \|`, "schemes have no case (RFC 9110 §11.1)"),
	wanted(`^header Authorization twice \|`, "one header, one token"),
	wanted(`\| message \| theirs: template: :1:\d+: executing "" at <.*ours: template: map has no entry`, "Go's engine names a place in the template, ours the extension"),
}
