package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"strings"
)

// Keys, signing requests and proofs of possession.
func keyCases() []testCase {
	var all []testCase
	add := func(name string, c testCase) {
		c.name, c.issuer, c.claims = "key "+name, "email", whole["email"]
		c.by = []door{byHTTP, byGRPC, byLegacyHTTP}
		all = append(all, c)
	}
	for _, kind := range []string{"P-224", "P-256", "P-384", "P-521", "Ed25519", "RSA-1024", "RSA-2048", "RSA-2056", "RSA-3072", "RSA-4096"} {
		add(kind, testCase{key: kind})
		add(kind+" by signing request", testCase{key: kind, csr: "empty"})
	}
	add("signing request with names", testCase{csr: "full"})
	add("signing request tampered with", testCase{csr: "tampered"})
	add("P-384 signing request by SHA-256", testCase{key: "P-384", csr: "SHA-256"})
	add("RSA signing request by SHA-512", testCase{key: "RSA-2048", csr: "SHA-512"})
	add("RSA signing request by PSS", testCase{key: "RSA-2048", csr: "PSS"})
	raw := func(r *request) []byte {
		block, _ := pem.Decode(r.csr)
		return block.Bytes
	}
	pemOf := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	for name, change := range map[string]func(*request){
		"in DER":           func(r *request) { r.csr = raw(r) },
		"garbage":          func(r *request) { r.csr = []byte("garbage") },
		"with white space": func(r *request) { r.csr = append([]byte("\n \n"), r.csr...) },
		"with text before": func(r *request) { r.csr = append([]byte("Request:\n"), r.csr...) },
		"with data behind": func(r *request) { r.csr = append(r.csr, "more"...) },
		"twice":            func(r *request) { r.csr = append(r.csr, r.csr...) },
		"of the old name":  func(r *request) { r.csr = pemOf("NEW CERTIFICATE REQUEST", raw(r)) },
		"called a key":     func(r *request) { r.csr = pemOf("PUBLIC KEY", raw(r)) },
		"with DER behind":  func(r *request) { r.csr = pemOf("CERTIFICATE REQUEST", append(raw(r), 0)) },
		"cut":              func(r *request) { r.csr = pemOf("CERTIFICATE REQUEST", raw(r)[:40]) },
	} {
		add("signing request "+name, testCase{csr: "empty", change: change})
	}
	for name, change := range map[string]func(*request){
		"none":             func(r *request) { r.keyPEM, r.keyDER = nil, nil },
		"garbage":          func(r *request) { r.keyPEM, r.keyDER = []byte("garbage"), []byte("garbage") },
		"the other way":    func(r *request) { r.keyPEM, r.keyDER = r.keyDER, r.keyPEM },
		"with white space": func(r *request) { r.keyPEM = append([]byte("\n \n"), append(r.keyPEM, "\n\n"...)...) },
		"with text before": func(r *request) { r.keyPEM = append([]byte("Key:\n"), r.keyPEM...) },
		"with data behind": func(r *request) { r.keyPEM = append(r.keyPEM, "more"...) },
		"twice":            func(r *request) { r.keyPEM = append(r.keyPEM, r.keyPEM...) },
		"with DER behind":  func(r *request) { r.keyDER = append(r.keyDER, 0); r.keyPEM = pemOf("PUBLIC KEY", r.keyDER) },
		"cut":              func(r *request) { r.keyDER = r.keyDER[:40]; r.keyPEM = pemOf("PUBLIC KEY", r.keyDER) },
		"of another name":  func(r *request) { r.keyPEM = pemOf("EC PUBLIC KEY", r.keyDER) },
		"called a cert":    func(r *request) { r.keyPEM = pemOf("CERTIFICATE", r.keyDER) },
		"a point off it":   func(r *request) { r.keyDER[len(r.keyDER)-1] ^= 1; r.keyPEM = pemOf("PUBLIC KEY", r.keyDER) },
		"compressed": func(r *request) {
			key, _ := clientKey("P-256")
			public := key.Public().(*ecdsa.PublicKey)
			point := elliptic.MarshalCompressed(public.Curve, public.X, public.Y)
			head := []byte{0x30, 0x39, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d,
				0x03, 0x01, 0x07, 0x03, 0x22, 0x00}
			r.keyDER = append(head, point...)
			r.keyPEM = pemOf("PUBLIC KEY", r.keyDER)
		},
	} {
		add(name, testCase{change: change})
	}
	add("RSA in PKCS#1", testCase{key: "RSA-2048", change: func(r *request) {
		key, _ := clientKey("RSA-2048")
		r.keyPEM = pemOf("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(key.Public().(*rsa.PublicKey)))
	}})
	for name, change := range map[string]func(*request){
		"none":        func(r *request) { r.proof = nil },
		"garbage":     func(r *request) { r.proof = []byte("garbage") },
		"cut":         func(r *request) { r.proof = r.proof[:len(r.proof)-1] },
		"data behind": func(r *request) { r.proof = append(r.proof, 0) },
		"by another key": func(r *request) {
			key, _ := clientKey("another P-256")
			r.proof, _ = sign(key, []byte("dev@example.com"))
		},
		"over the hash of the name": func(r *request) {
			key, _ := clientKey("P-256")
			digest := sha256.Sum256([]byte("dev@example.com"))
			r.proof, _ = sign(key, digest[:])
		},
		"over the token": func(r *request) {
			key, _ := clientKey("P-256")
			r.proof, _ = sign(key, []byte(r.token))
		},
	} {
		add("proof "+name, testCase{change: change})
	}
	for _, over := range []string{"", "s1", "DEV@example.com", "dev@example.com\n", "other@example.com"} {
		add(fmt.Sprintf("proof over %q", over), testCase{proofOver: text(over)})
	}
	add("P-384, proof by SHA-256", testCase{key: "P-384", change: func(r *request) {
		key, _ := clientKey("P-384")
		digest := sha256.Sum256([]byte("dev@example.com"))
		r.proof, _ = key.Sign(rand.Reader, digest[:], crypto.SHA256)
	}})
	add("RSA, proof by PSS", testCase{key: "RSA-2048", change: func(r *request) {
		key, _ := clientKey("RSA-2048")
		digest := sha256.Sum256([]byte("dev@example.com"))
		r.proof, _ = rsa.SignPSS(rand.Reader, key.(*rsa.PrivateKey), crypto.SHA256, digest[:], nil)
	}})
	return all
}

// Bodies and headers by hand.
func bodyCases() []testCase {
	var all []testCase
	standard := base64.StdEncoding.EncodeToString
	add := func(name string, change func(*request)) {
		all = append(all, testCase{name: "body " + name, issuer: "email", claims: whole["email"], change: change})
	}
	// A body of these members; T, K and P stand for token, key and proof.
	body := func(name, template string) {
		add(name, func(r *request) {
			key, _ := json.Marshal(string(r.keyPEM))
			text := strings.NewReplacer("TOKEN", r.token, `"KEY"`, string(key), "PROOF", standard(r.proof),
				"PRUF", base64.RawURLEncoding.EncodeToString(r.proof), "CSR", standard(r.csr)).Replace(template)
			r.body = []byte(text)
		})
	}
	const full = `"publicKeyRequest":{"publicKey":{"algorithm":"ECDSA","content":"KEY"},"proofOfPossession":"PROOF"}`
	const credentials = `"credentials":{"oidcIdentityToken":"TOKEN"}`
	body("as it should be", "{"+credentials+","+full+"}")
	body("in snake case", `{"credentials":{"oidc_identity_token":"TOKEN"},"public_key_request":{"public_key":{"algorithm":"ECDSA","content":"KEY"},"proof_of_possession":"PROOF"}}`)
	body("with base64url", "{"+credentials+","+strings.Replace(full, "PROOF", "PRUF", 1)+"}")
	body("with an unknown member", `{"x":1,`+credentials+","+full+"}")
	body("with an unknown algorithm", "{"+credentials+","+strings.Replace(full, "ECDSA", "RSA", 1)+"}")
	body("with a number as algorithm", "{"+credentials+","+strings.Replace(full, `"ECDSA"`, "2", 1)+"}")
	body("with a large number as algorithm", "{"+credentials+","+strings.Replace(full, `"ECDSA"`, "99", 1)+"}")
	body("with a list as algorithm", "{"+credentials+","+strings.Replace(full, `"ECDSA"`, "[]", 1)+"}")
	body("with null as algorithm", "{"+credentials+","+strings.Replace(full, `"ECDSA"`, "null", 1)+"}")
	body("without algorithm", "{"+credentials+","+strings.Replace(full, `"algorithm":"ECDSA",`, "", 1)+"}")
	body("with null as credentials", `{"credentials":null,`+full+"}")
	body("with null as token", `{"credentials":{"oidcIdentityToken":null},`+full+"}")
	body("with a number as token", `{"credentials":{"oidcIdentityToken":7},`+full+"}")
	body("with a list as credentials", `{"credentials":[],`+full+"}")
	body("with null as signing request", "{"+credentials+`,"certificateSigningRequest":null,`+full+"}")
	body("with an empty signing request", "{"+credentials+`,"certificateSigningRequest":"",`+full+"}")
	body("with key and signing request", "{"+credentials+`,"certificateSigningRequest":"Z2FyYmFnZQ==",`+full+"}")
	body("with bad base64 as proof", "{"+credentials+","+strings.Replace(full, "PROOF", "!", 1)+"}")
	body("with a number as proof", "{"+credentials+","+strings.Replace(full, `"PROOF"`, "7", 1)+"}")
	body("with a member twice", "{"+credentials+","+credentials+","+full+"}")
	body("with a member in both cases", `{"credentials":{"oidcIdentityToken":"TOKEN","oidc_identity_token":"TOKEN"},`+full+"}")
	body("with data behind", "{"+credentials+","+full+"} {}")
	body("with white space around", " \n{"+credentials+","+full+"}\n ")
	body("with a trailing comma", "{"+credentials+","+full+",}")
	body("without key", "{"+credentials+"}")
	body("without anything", "{}")
	body("empty", "")
	body("null", "null")
	body("a list", "[]")
	body("cut", "{"+credentials+",")
	body("with a byte order mark", "\ufeff{"+credentials+","+full+"}")
	headers := func(name string, token bool, set http.Header) {
		all = append(all, testCase{name: "header " + name, issuer: "email", claims: whole["email"], change: func(r *request) {
			key, _ := json.Marshal(string(r.keyPEM))
			inBody := ""
			if token {
				inBody = `"credentials":{"oidcIdentityToken":"` + r.token + `"},`
			}
			r.body = []byte("{" + inBody + strings.NewReplacer(`"KEY"`, string(key), "PROOF", standard(r.proof)).Replace(full) + "}")
			r.headers = http.Header{}
			for name, values := range set {
				for _, value := range values {
					r.headers[name] = append(r.headers[name], strings.ReplaceAll(value, "TOKEN", r.token))
				}
			}
		}})
	}
	headers("Authorization", false, http.Header{"Authorization": {"Bearer TOKEN"}})
	headers("Authorization in lower case", false, http.Header{"Authorization": {"bearer TOKEN"}})
	headers("Authorization without scheme", false, http.Header{"Authorization": {"TOKEN"}})
	headers("Authorization of another scheme", false, http.Header{"Authorization": {"Basic TOKEN"}})
	headers("Authorization with two spaces", false, http.Header{"Authorization": {"Bearer  TOKEN"}})
	headers("Authorization twice", false, http.Header{"Authorization": {"Bearer TOKEN", "Bearer TOKEN"}})
	headers("Authorization beside the body's token", true, http.Header{"Authorization": {"Bearer x"}})
	headers("Authorization empty", false, http.Header{"Authorization": {""}})
	headers("Accept of sigstore-python", true, http.Header{"Accept": {"application/pem-certificate-chain"}})
	headers("Accept of nothing", true, http.Header{"Accept": {"image/png"}})
	headers("Content-Type of a form", true, http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
	headers("Content-Type of a text", true, http.Header{"Content-Type": {"text/plain"}})
	headers("Content-Type none", true, http.Header{"Content-Type": nil})
	for _, method := range []string{"GET", "PUT", "DELETE", "PATCH"} {
		for _, path := range []string{"/api/v2/signingCert", "/api/v1/signingCert"} {
			all = append(all, testCase{name: method + " " + path, issuer: "email", claims: whole["email"],
				change: func(r *request) { r.method, r.path = method, path }})
		}
	}
	return all
}
