package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// An origin under which every path is an issuer: discovery and keys are the same for all of them.
type origin struct {
	base         string
	key, other   *rsa.PrivateKey
	ec           *ecdsa.PrivateKey
	publicKeyPEM []byte
}

func startOrigin() (*origin, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	o := &origin{base: "http://" + listener.Addr().String()}
	for _, key := range []**rsa.PrivateKey{&o.key, &o.other} {
		if *key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
			return nil, err
		}
	}
	if o.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(&o.key.PublicKey)
	if err != nil {
		return nil, err
	}
	o.publicKeyPEM = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	go http.Serve(listener, o)
	return o, nil
}

func b64(bytes []byte) string { return base64.RawURLEncoding.EncodeToString(bytes) }

func (o *origin) ServeHTTP(answer http.ResponseWriter, request *http.Request) {
	point := o.ec.PublicKey
	document := map[string]any{"keys": []any{
		map[string]any{"kty": "RSA", "kid": "rsa", "use": "sig", "n": b64(o.key.N.Bytes()), "e": "AQAB"},
		// As a SPIFFE trust bundle names the use of a key (SPIFFE Trust Domain and Bundle §4.2.2).
		map[string]any{"kty": "EC", "kid": "svid", "use": "jwt-svid", "crv": "P-256",
			"x": b64(point.X.FillBytes(make([]byte, 32))), "y": b64(point.Y.FillBytes(make([]byte, 32)))},
	}}
	if path, found := strings.CutSuffix(request.URL.Path, "/.well-known/openid-configuration"); found {
		document = map[string]any{"issuer": o.base + path, "jwks_uri": o.base + "/keys",
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256"}}
	}
	answer.Header().Set("Content-Type", "application/json")
	json.NewEncoder(answer).Encode(document)
}

// token signs the claims for five minutes from now; `change` comes last, so that it may spoil anything.
func (o *origin) token(c *testCase) (string, error) {
	if c.token != nil {
		return *c.token, nil
	}
	now := time.Now().Unix()
	claims := map[string]any{"iss": o.base + "/" + c.issuer, "aud": "sigstore", "iat": now, "exp": now + 300}
	for name, value := range c.claims {
		if f, ok := value.(func(now int64) any); ok {
			value = f(now)
		}
		if value == absent {
			delete(claims, name)
		} else {
			claims[name] = value
		}
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	if c.payload != nil {
		payload = c.payload(payload)
	}
	header := map[string]any{"alg": "RS256", "kid": "rsa", "typ": "JWT"}
	for name, value := range c.header {
		if value == absent {
			delete(header, name)
		} else {
			header[name] = value
		}
	}
	head, err := json.Marshal(header)
	if err != nil {
		return "", err
	}
	signed := b64(head) + "." + b64(payload)
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	switch c.signedBy {
	case "nobody":
	case "hmac":
		mac := hmac.New(sha256.New, o.publicKeyPEM)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	case "svid":
		r, s, err := ecdsa.Sign(rand.Reader, o.ec, digest[:])
		if err != nil {
			return "", err
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "", "other":
		key := o.key
		if c.signedBy == "other" {
			key = o.other
		}
		if signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:]); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("nobody is called %q", c.signedBy)
	}
	return signed + "." + b64(signature), nil
}
