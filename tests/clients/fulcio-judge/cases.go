package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"sort"
	"strings"
	"sync"
)

// One question for both. What it does not say is as a client would have it.
type testCase struct {
	name   string
	issuer string
	claims map[string]any
	header map[string]any
	// Who signs the token: the issuer, `other`, `svid`, `hmac` or `nobody`.
	signedBy string
	// Another token altogether, and a last change to the text of the claims.
	token   *string
	payload func([]byte) []byte
	// The client's key, `P-256` where it says nothing.
	key string
	// What the proof of possession is over, and a last change to the request.
	proofOver *string
	change    func(*request)
	csr       string
	by        []door
}

type absentClaim struct{}

// absent takes a claim away that would be there.
var absent any = absentClaim{}

type claims = map[string]any

func text(t string) *string { return &t }

// rebase puts the issuers' origin where the claims say BASE.
func (c *testCase) rebase(base string) {
	changed := claims{}
	for name, value := range c.claims {
		if text, ok := value.(string); ok {
			value = strings.ReplaceAll(text, "BASE", base)
		}
		changed[name] = value
	}
	c.claims = changed
}

func (c *testCase) doors() []door {
	if c.by == nil {
		return []door{byHTTP}
	}
	return c.by
}

// subject is what a client signs to prove possession: `email` where there is one, or else `sub`.
func (c *testCase) subject() []byte {
	if c.proofOver != nil {
		return []byte(*c.proofOver)
	}
	if strings.HasPrefix(issuerTypes[c.issuer], "type: email") {
		return []byte(fmt.Sprint(c.claims["email"]))
	}
	return []byte(fmt.Sprint(c.claims["sub"]))
}

var (
	keys      = map[string]crypto.Signer{}
	keysMutex sync.Mutex
)

// clientKey makes each kind of key once.
func clientKey(kind string) (crypto.Signer, error) {
	keysMutex.Lock()
	defer keysMutex.Unlock()
	if known := keys[kind]; known != nil {
		return known, nil
	}
	var key crypto.Signer
	var err error
	switch kind {
	case "", "P-256", "another P-256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-224":
		key, err = ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		var bits int
		if _, err = fmt.Sscanf(kind, "RSA-%d", &bits); err == nil {
			key, err = rsa.GenerateKey(rand.Reader, bits)
		}
	}
	keys[kind] = key
	return key, err
}

func sign(key crypto.Signer, message []byte) ([]byte, error) {
	switch public := key.Public().(type) {
	case ed25519.PublicKey:
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P384():
			digest := sha512.Sum384(message)
			return key.Sign(rand.Reader, digest[:], crypto.SHA384)
		case elliptic.P521():
			digest := sha512.Sum512(message)
			return key.Sign(rand.Reader, digest[:], crypto.SHA512)
		}
	}
	digest := sha256.Sum256(message)
	return key.Sign(rand.Reader, digest[:], crypto.SHA256)
}

func (c *testCase) request(token string) (*request, error) {
	key, err := clientKey(c.key)
	if err != nil {
		return nil, err
	}
	r := &request{token: token}
	if r.keyDER, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
		return nil, err
	}
	r.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: r.keyDER})
	if r.proof, err = sign(key, c.subject()); err != nil {
		return nil, err
	}
	if c.csr != "" {
		template := &x509.CertificateRequest{}
		switch c.csr {
		case "full":
			template.Subject = pkix.Name{CommonName: "somebody else"}
			template.EmailAddresses = []string{"other@example.com"}
			template.DNSNames = []string{"example.com"}
		case "SHA-256":
			template.SignatureAlgorithm = x509.ECDSAWithSHA256
		case "SHA-512":
			template.SignatureAlgorithm = x509.SHA512WithRSA
		case "PSS":
			template.SignatureAlgorithm = x509.SHA256WithRSAPSS
		}
		der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
		if err != nil {
			return nil, err
		}
		if c.csr == "tampered" {
			der[len(der)-1] ^= 1
		}
		r.csr = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	if c.change != nil {
		c.change(r)
	}
	return r, nil
}

// The issuers, by path: the lines of the configuration file.
var issuerTypes = map[string]string{
	"email":            "type: email",
	"unverified":       "type: email; skip-email-verification: true",
	"dex":              "type: email; issuer-claim: $.federated_claims.connector_id",
	"uri":              "type: uri; subject-domain: BASE",
	"username":         "type: username; subject-domain: 127.0.0.1",
	"spiffe":           "type: spiffe; spiffe-trust-domain: example.org",
	"kubernetes":       "type: kubernetes",
	"chainguard":       "type: chainguard-identity",
	"github-legacy":    "type: github-workflow",
	"gitlab-legacy":    "type: gitlab-pipeline",
	"buildkite-legacy": "type: buildkite-job",
	"codefresh-legacy": "type: codefresh-workflow",
	"github":           "type: ci-provider; ci-provider: github-workflow",
	"gitlab":           "type: ci-provider; ci-provider: gitlab-pipeline",
	"buildkite":        "type: ci-provider; ci-provider: buildkite-job",
	"codefresh":        "type: ci-provider; ci-provider: codefresh-workflow",
	"circleci":         "type: ci-provider; ci-provider: circleci-job",
	"buddy":            "type: ci-provider; ci-provider: buddy-pipeline",
}

// A whole token of each issuer.
var whole = map[string]claims{
	"email":      {"sub": "s1", "email": "dev@example.com", "email_verified": true},
	"unverified": {"sub": "s1", "email": "dev@example.com"},
	"dex": {"sub": "s1", "email": "dev@example.com", "email_verified": true,
		"federated_claims": claims{"connector_id": "https://accounts.example.com", "user_id": "7"}},
	"uri":      {"sub": "BASE/users/1"},
	"username": {"sub": "alice"},
	// RFC 7519 as the JWT-SVID profile has it: several audiences, and nothing but registered claims.
	"spiffe": {"sub": "spiffe://example.org/ns/build/sa/builder", "aud": []string{"sigstore", "spire-server"}},
	// A projected service account token of Kubernetes 1.32.
	"kubernetes": kubernetes, "clusters/7": kubernetes,
	"chainguard":    {"sub": "720909c9f5279097d847ad02a2f24ba8f59de36a/b1b9ffd3d5ac6a44"},
	"github-legacy": github, "github": github,
	"gitlab-legacy": gitlab, "gitlab": gitlab,
	"buildkite-legacy": buildkite, "buildkite": buildkite,
	"codefresh-legacy": codefresh, "codefresh": codefresh,
	"circleci": {"sub": "org/0a1b/project/2c3d/user/4e5f", "oidc.circleci.com/project-id": "2c3d",
		"oidc.circleci.com/pipeline-definition-id": "9d9d", "oidc.circleci.com/pipeline-id": "6a7b",
		"oidc.circleci.com/workflow-id": "8c9d", "oidc.circleci.com/job-id": "0e1f", "oidc.circleci.com/ssh-rerun": false,
		"oidc.circleci.com/vcs-origin": "github.com/acme/app", "oidc.circleci.com/vcs-ref": "refs/heads/main"},
	"buddy": {"sub": "workspace_domain:acme:project_name:app:pipeline_id:12", "workspace_domain": "acme",
		"project_name": "app", "pipeline_id": 12, "execution_id": "e1", "triggered_on": "EVENT", "runner_environment": "hosted",
		"revision": "0123", "ref": "refs/heads/main"},
}

var kubernetes = claims{"sub": "system:serviceaccount:build:builder", "jti": "5a1b", "nbf": func(now int64) any { return now },
	"aud": []string{"sigstore"}, "kubernetes.io": claims{"namespace": "build",
		"node":           claims{"name": "worker-1", "uid": "1d1d"},
		"pod":            claims{"name": "builder-5d5f", "uid": "2e2e"},
		"serviceaccount": claims{"name": "builder", "uid": "3f3f"},
		"warnafter":      1_795_348_800}}

var github = claims{"sub": "repo:acme/app:ref:refs/heads/main", "job_workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main",
	"job_workflow_sha": "aaaa", "repository": "acme/app", "sha": "bbbb", "ref": "refs/heads/main", "jti": "x", "actor": "dev",
	"workflow_ref": "acme/app/.github/workflows/r.yml@refs/heads/main", "workflow_sha": "cccc", "workflow": "Release it",
	"event_name": "push", "runner_environment": "github-hosted", "repository_id": "123456789012", "repository_owner": "acme",
	"repository_owner_id": "22", "repository_visibility": "private", "run_id": "33", "run_attempt": "1"}

var gitlab = claims{"sub": "project_path:acme/app:ref_type:branch:ref:main", "ref": "main", "ref_type": "branch", "ref_path": "refs/heads/main",
	"project_path": "acme/app", "project_id": "11", "namespace_path": "acme", "namespace_id": "22", "pipeline_source": "push",
	"pipeline_id": "33", "job_id": "44", "ci_config_ref_uri": "gitlab.com/acme/app//.gitlab-ci.yml@refs/heads/main",
	"ci_config_sha": "aaaa", "sha": "bbbb", "runner_id": 1, "runner_environment": "gitlab-hosted", "project_visibility": "internal"}

var buildkite = claims{"sub": "organization:acme:pipeline:app:ref:refs/heads/main:commit:bbbb:step:build", "organization_slug": "acme",
	"pipeline_slug": "app", "build_number": 5, "job_id": "0184", "build_commit": "bbbb", "build_source": "webhook",
	"runner_environment": "buildkite-hosted", "build_branch": "main", "step_key": "build", "agent_id": "x"}

var codefresh = claims{"sub": "account:acme:pipeline:app", "account_id": "a1", "account_name": "acme", "pipeline_id": "p1", "pipeline_name": "app/build",
	"workflow_id": "w1", "initiator": "user", "scm_repo_url": "https://github.com/acme/app", "scm_ref": "main",
	"scm_user_name": "dev", "scm_pull_request_target_branch": "main", "runner_environment": "hybrid", "platform_url": "https://codefresh.example"}

func with(base claims, changes claims) claims {
	out := claims{}
	for name, value := range base {
		out[name] = value
	}
	for name, value := range changes {
		out[name] = value
	}
	return out
}

// What a claim becomes, one after the other.
var mutations = []struct {
	name  string
	value any
}{
	{"missing", absent},
	{"null", nil},
	{"empty", ""},
	{"a space", "a b"},
	{"markup", `<a href="x">&'`},
	{"percent", "100%41%zz"},
	{"letters outside ASCII", "dév/ü"},
	{"a template", "{{.sub}}"},
	{"dots", "../../x"},
	{"slashes", "//x//y/"},
	{"query and fragment", "x?a=b#c"},
	{"a line feed", "a\nb"},
	{"a host", "https://evil.example/x"},
	{"an at sign", "a@b.example"},
	{"a number", 7},
	{"a large number", 123_456_789_012},
	{"a fraction", 0.5},
	{"true", true},
	{"a list", []string{"x"}},
	{"an object", claims{"x": "y"}},
}

func cases() []testCase {
	var all []testCase
	every := []door{byHTTP, byGRPC, byMetadata, byLegacyHTTP, byLegacyGRPC}
	issuers := make([]string, 0, len(whole))
	for issuer := range whole {
		issuers = append(issuers, issuer)
	}
	sort.Strings(issuers)
	// Each kind of identity by every door, with a key and with a signing request.
	for _, issuer := range issuers {
		all = append(all,
			testCase{name: issuer, issuer: issuer, claims: whole[issuer], by: every},
			testCase{name: issuer + " by signing request", issuer: issuer, claims: whole[issuer], csr: "empty", by: every})
		signer := "svid"
		all = append(all, testCase{name: issuer + " signed by a key for JWT-SVIDs", issuer: issuer, claims: whole[issuer],
			header: claims{"alg": "ES256", "kid": "svid"}, signedBy: signer, by: []door{byHTTP, byGRPC}})
	}
	// Each claim of each kind of identity, spoiled in every way.
	for _, issuer := range issuers {
		names := make([]string, 0, len(whole[issuer]))
		for name := range whole[issuer] {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			for _, mutation := range mutations {
				all = append(all, testCase{name: fmt.Sprintf("%s, %s: %s", issuer, name, mutation.name), issuer: issuer,
					claims: with(whole[issuer], claims{name: mutation.value})})
			}
		}
	}
	return append(append(append(append(all, identityCases()...), tokenCases()...), keyCases()...), bodyCases()...)
}

func identityCases() []testCase {
	var all []testCase
	add := func(issuer, name string, changes claims) {
		all = append(all, testCase{name: issuer + ", " + name, issuer: issuer, claims: with(whole[issuer], changes)})
	}
	for _, verified := range []any{"true", "True", "TRUE", "1", 1, false, "false", nil, []bool{true}} {
		add("email", fmt.Sprintf("email_verified %#v", verified), claims{"email_verified": verified})
		add("unverified", fmt.Sprintf("email_verified %#v", verified), claims{"email_verified": verified})
	}
	for _, email := range []string{"DEV@EXAMPLE.COM", "first.last+tag@sub.example.co", "o'neil_x@a-b.example", "dev@localhost", "dev@",
		"@example.com", "a@b@example.com", ".dev@example.com", "d..v@example.com", "dev@-example.com", "dev@example.c0", "x@1.example",
		`"a b"@example.com`, "<dev@example.com>", "dev@[127.0.0.1]", strings.Repeat("a", 65) + "@example.com",
		"a@" + strings.Repeat("b.", 130) + "com", "dev@xn--bcher-kva.example", "dev@example.com ", "dev@example.com\x00"} {
		add("email", "address "+email, claims{"email": email})
	}
	for name, value := range map[string]any{"none": absent, "no object": "x", "empty": claims{"connector_id": ""},
		"a number": claims{"connector_id": 7}, "null": claims{"connector_id": nil}, "a list": []any{claims{"connector_id": "x"}}} {
		add("dex", "federated_claims "+name, claims{"federated_claims": value})
	}
	for _, sub := range []string{"BASE", "BASE/", "BASE/a/../b", "BASE/a b", "BASE/?q=1", "BASE/#f", "BASE/%zz", "BASE/%41", "BASE/é",
		"http://127.0.0.1:1/users/1", "http://127.0.0.1/users/1", "https://127.0.0.1/users/1", "HTTP://127.0.0.1/users/1",
		"http://user@127.0.0.1/users/1", "http://user:secret@127.0.0.1/", "http://evil.example/users/1", "http://127.0.0.1.evil.example/",
		"users/1", "/users/1", "//127.0.0.1/users/1", "dev@127.0.0.1", "mailto:dev@127.0.0.1", "http:127.0.0.1", "http:///users", ""} {
		add("uri", "subject "+sub, claims{"sub": sub})
	}
	for _, sub := range []string{"alice bob", "alice!bob", "!", "dev@example.com", "ålice", "a", strings.Repeat("a", 300), "alice\n", "", " ",
		"alice@", "a/b", "a\\b", "spiffe://x"} {
		add("username", "subject "+sub, claims{"sub": sub})
	}
	for _, sub := range []string{"spiffe://example.org", "spiffe://example.org/", "spiffe://example.org/a/", "spiffe://example.org//a",
		"spiffe://example.org/a/../b", "spiffe://example.org/./a", "spiffe://example.org/a b", "spiffe://example.org/a%20b",
		"spiffe://example.org/é", "spiffe://example.org/A_z-0.9", "spiffe://EXAMPLE.org/a", "SPIFFE://example.org/a",
		"spiffe://other.org/a", "spiffe://a.example.org/a", "spiffe://example.org.evil/a", "spiffe://example.org:8080/a",
		"spiffe://user@example.org/a", "spiffe://example.org/a?b", "spiffe://example.org/a#b", "https://example.org/a", "spiffe:example.org/a",
		"spiffe://example.org/" + strings.Repeat("a", 2_100), ""} {
		add("spiffe", fmt.Sprintf("subject %.60s", sub), claims{"sub": sub})
	}
	account := func(namespace, name any) any {
		return claims{"namespace": namespace, "serviceaccount": claims{"name": name}}
	}
	for name, value := range map[string]any{"empty": claims{}, "without account": claims{"namespace": "build"},
		"without namespace": claims{"serviceaccount": claims{"name": "builder"}}, "empty namespace": account("", "builder"),
		"empty account": account("build", ""), "a number": account(7, "builder"), "slashes": account("a/b", "c/d"),
		"dots": account("..", ".."), "a space": account("a b", "c d"), "percent": account("a%2fb", "c%zz"),
		"query": account("a?b", "c#d"), "letters outside ASCII": account("é", "ü")} {
		add("kubernetes", name, claims{"kubernetes.io": value})
		add("clusters/7", name, claims{"kubernetes.io": value})
	}
	for _, issuer := range []string{"clusters/", "clusters/a/b", "clusters/a.b", "clusters/a%2fb", "clusters/é", "clusters/7/", "clusters/A-_9",
		"nobody", "email/", "EMAIL"} {
		all = append(all, testCase{name: "issuer " + issuer, issuer: issuer, claims: kubernetes})
	}
	add("gitlab", "tag", claims{"ref_type": "tag", "ref": "v1"})
	add("gitlab-legacy", "tag", claims{"ref_type": "tag", "ref": "v1"})
	add("gitlab", "environment", claims{"environment": "production"})
	add("github", "environment", claims{"environment": "production"})
	add("github", "claim url", claims{"url": "https://evil.example"})
	add("github", "claim environment a number", claims{"environment": 5})
	add("buildkite", "claim url", claims{"url": "https://evil.example"})
	add("circleci", "claim api_url", claims{"api_url": "https://evil.example"})
	add("buddy", "claim base_url", claims{"base_url": "https://evil.example"})
	add("circleci", "ssh-rerun true", claims{"oidc.circleci.com/ssh-rerun": true})
	add("circleci", "ssh-rerun as text", claims{"oidc.circleci.com/ssh-rerun": "true"})
	add("codefresh", "no platform", claims{"platform_url": absent})
	add("codefresh-legacy", "no platform", claims{"platform_url": absent})
	for _, issuer := range []string{"uri", "username", "spiffe", "kubernetes", "github", "chainguard"} {
		// What clients sign when the token has an address, although the subject is another (fulcio docs/oidc.md).
		address := with(whole[issuer], claims{"email": "dev@example.com", "email_verified": true})
		all = append(all,
			testCase{name: issuer + ", with an address, proof over it", issuer: issuer, claims: address, proofOver: text("dev@example.com")},
			testCase{name: issuer + ", with an address, proof over the subject", issuer: issuer, claims: address})
	}
	return all
}

func tokenCases() []testCase {
	var all []testCase
	email := whole["email"]
	add := func(name string, c testCase) {
		c.name, c.issuer = "token "+name, "email"
		if c.claims == nil {
			c.claims = email
		}
		c.by = []door{byHTTP, byGRPC}
		all = append(all, c)
	}
	for name, token := range map[string]string{"empty": "", "garbage": "garbage", "of dots": "..", "of many dots": strings.Repeat(".", 1_000),
		"of two parts": "a.b", "of four parts": "a.b.c.d", "with a space": "a. .c", "of JSON": "{}.{}.{}"} {
		add(name, testCase{token: text(token)})
	}
	at := func(offset int64) any { return func(now int64) any { return now + offset } }
	for name, changes := range map[string]claims{
		"expired": {"exp": at(-60)}, "expired just now": {"exp": at(-1)}, "without exp": {"exp": absent}, "exp a fraction": {"exp": 4e9 + 0.5},
		"exp a text": {"exp": "4000000000"}, "exp huge": {"exp": 1e300}, "exp negative": {"exp": -1}, "exp null": {"exp": nil},
		"nbf in four minutes": {"nbf": at(240)}, "nbf in six minutes": {"nbf": at(360)}, "nbf a text": {"nbf": "x"}, "nbf null": {"nbf": nil},
		"iat in an hour": {"iat": at(3_600)}, "without iat": {"iat": absent}, "iat a text": {"iat": "x"}, "iat long ago": {"iat": 1},
		"aud another": {"aud": "x"}, "aud a list": {"aud": []string{"x", "sigstore"}}, "aud an empty list": {"aud": []string{}},
		"without aud": {"aud": absent}, "aud null": {"aud": nil}, "aud a number": {"aud": 7}, "aud an object": {"aud": claims{"sigstore": 1}},
		"aud a list with a number": {"aud": []any{"sigstore", 7}}, "azp another": {"azp": "x", "aud": []string{"sigstore", "x"}},
		"iss unknown": {"iss": "https://unknown.example"}, "iss a number": {"iss": 7}, "without iss": {"iss": absent}, "iss null": {"iss": nil},
		"iss empty": {"iss": ""}, "without sub": {"sub": absent}, "sub empty": {"sub": ""}, "sub a number": {"sub": 7}, "sub null": {"sub": nil},
		"nonce": {"nonce": "n"}, "at_hash": {"at_hash": "x"}, "at_hash a number": {"at_hash": 7},
	} {
		add(name, testCase{claims: with(email, changes)})
	}
	for name, header := range map[string]claims{
		"alg none": {"alg": "none"}, "alg None": {"alg": "None"}, "alg empty": {"alg": ""}, "without alg": {"alg": absent}, "alg a number": {"alg": 7},
		"alg RS512": {"alg": "RS512"}, "alg PS256": {"alg": "PS256"}, "alg ES256": {"alg": "ES256"}, "alg unknown": {"alg": "XX256"},
		"without kid": {"kid": absent}, "kid unknown": {"kid": "x"}, "kid of another key": {"kid": "svid"}, "kid a number": {"kid": 7}, "kid null": {"kid": nil},
		"typ another": {"typ": "at+jwt"}, "typ a number": {"typ": 7}, "crit": {"crit": []string{"b64"}, "b64": false}, "crit empty": {"crit": []string{}},
		"crit null": {"crit": nil}, "jwk": {"jwk": claims{"kty": "RSA", "n": "AQAB", "e": "AQAB"}}, "jku": {"jku": "https://evil.example"},
		"cty": {"cty": "JWT"}, "zip": {"zip": "DEF"},
	} {
		add(name, testCase{header: header})
	}
	add("alg none, unsigned", testCase{header: claims{"alg": "none"}, signedBy: "nobody"})
	add("unsigned", testCase{signedBy: "nobody"})
	add("HS256 with the public key", testCase{header: claims{"alg": "HS256"}, signedBy: "hmac"})
	add("RS256 that is an HMAC", testCase{signedBy: "hmac"})
	add("by another key", testCase{signedBy: "other"})
	add("jwk by another key", testCase{signedBy: "other", header: claims{"kid": absent}})
	replace := func(from, to string) func([]byte) []byte {
		return func(payload []byte) []byte { return []byte(strings.Replace(string(payload), from, to, 1)) }
	}
	for name, change := range map[string]func([]byte) []byte{
		"claim twice":       replace(`"sub":"s1"`, `"sub":"s0","sub":"s1"`),
		"claim in capitals": replace(`"email":`, `"EMAIL":`),
		"iss in capitals":   replace(`"iss":`, `"ISS":`),
		"nested deeply":     replace(`"sub":"s1"`, `"sub":"s1","x":`+strings.Repeat("[", 2_000)+strings.Repeat("]", 2_000)),
		"a list":            func([]byte) []byte { return []byte("[]") },
		"a text":            func([]byte) []byte { return []byte(`"x"`) },
		"null":              func([]byte) []byte { return []byte("null") },
		"nothing":           func([]byte) []byte { return nil },
		"cut":               func(payload []byte) []byte { return payload[:len(payload)-1] },
		"data behind":       func(payload []byte) []byte { return append(payload, " {}"...) },
		"white space":       func(payload []byte) []byte { return append([]byte(" \n"), payload...) },
		"no UTF-8":          replace(`"sub":"s1"`, "\"sub\":\"s1\",\"x\":\"\xff\""),
		"a lone surrogate":  replace(`"sub":"s1"`, `"sub":"s1","x":"\ud800"`),
		"a NUL":             replace(`"sub":"s1"`, `"sub":"s\u0000"`),
	} {
		add("payload, "+name, testCase{payload: change})
	}
	return all
}
