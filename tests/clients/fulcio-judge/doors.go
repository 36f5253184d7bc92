package main

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	v2 "github.com/sigstore/fulcio/pkg/generated/protobuf"
	"github.com/sigstore/fulcio/pkg/generated/protobuf/legacy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// What is asked for, before it is put into the words of a door.
type request struct {
	token string
	// The public key: PEM over HTTP, DER over the legacy API, as their clients send it.
	keyPEM, keyDER, proof []byte
	csr                   []byte
	// A body by hand in place of all that, and headers.
	body    []byte
	headers http.Header
	method  string
	path    string
}

// An answer in terms that all doors share.
type answer struct {
	status      string
	contentType string
	message     string
	chain       []*x509.Certificate
}

func (a *answer) leaf() *x509.Certificate {
	if len(a.chain) == 0 {
		return nil
	}
	return a.chain[0]
}

type door struct {
	name string
	ask  func(*server, *request) (*answer, error)
}

var (
	byHTTP       = door{"HTTP v2", askHTTP}
	byLegacyHTTP = door{"HTTP v1", askLegacyHTTP}
	byGRPC       = door{"gRPC v2", func(s *server, r *request) (*answer, error) { return askGRPC(s, r, false) }}
	byMetadata   = door{"gRPC v2, token as metadata", func(s *server, r *request) (*answer, error) { return askGRPC(s, r, true) }}
	byLegacyGRPC = door{"gRPC v1beta", askLegacyGRPC}
)

func post(url string, r *request, body []byte, bearer bool) (int, http.Header, []byte, error) {
	method := "POST"
	if r.method != "" {
		method = r.method
	}
	asked, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	asked.Header.Set("Content-Type", "application/json")
	if bearer {
		asked.Header.Set("Authorization", "Bearer "+r.token)
	}
	for name, values := range r.headers {
		asked.Header[name] = values
	}
	got, err := http.DefaultClient.Do(asked)
	if err != nil {
		return 0, nil, nil, err
	}
	defer got.Body.Close()
	text, err := io.ReadAll(got.Body)
	return got.StatusCode, got.Header, text, err
}

// What an error says, whatever it is called in the JSON.
func refusal(code int, header http.Header, text []byte) *answer {
	var said struct {
		Code    int
		Message string
	}
	a := &answer{status: fmt.Sprint(code), contentType: header.Get("Content-Type"), message: string(text)}
	if json.Unmarshal(text, &said) == nil {
		a.status, a.message = fmt.Sprintf("%d, code %d", code, said.Code), said.Message
	}
	return a
}

func askHTTP(s *server, r *request) (*answer, error) {
	body := r.body
	if body == nil {
		asked := map[string]any{"credentials": map[string]any{"oidcIdentityToken": r.token}}
		if r.csr != nil {
			asked["certificateSigningRequest"] = r.csr
		} else {
			asked["publicKeyRequest"] = map[string]any{
				"publicKey":         map[string]any{"algorithm": "ECDSA", "content": string(r.keyPEM)},
				"proofOfPossession": r.proof,
			}
		}
		var err error
		if body, err = json.Marshal(asked); err != nil {
			return nil, err
		}
	}
	path := r.path
	if path == "" {
		path = "/api/v2/signingCert"
	}
	code, header, text, err := post(s.http+path, r, body, false)
	if err != nil || code != 200 {
		return refusal(code, header, text), err
	}
	var made struct {
		SignedCertificateEmbeddedSct, SignedCertificateDetachedSct *struct {
			Chain struct{ Certificates []string }
		}
	}
	if err := json.Unmarshal(text, &made); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	one := made.SignedCertificateEmbeddedSct
	if one == nil {
		// Without a log upstream says that the timestamp is detached, and sends none.
		one = made.SignedCertificateDetachedSct
	}
	if one == nil {
		return nil, fmt.Errorf("no certificate in %s", text)
	}
	return issued(fmt.Sprint(code), header.Get("Content-Type"), one.Chain.Certificates)
}

func askLegacyHTTP(s *server, r *request) (*answer, error) {
	asked := map[string]any{}
	if r.csr != nil {
		asked["certificateSigningRequest"] = r.csr
	} else {
		asked["publicKey"] = map[string]any{"algorithm": "ecdsa", "content": r.keyDER}
		asked["signedEmailAddress"] = r.proof
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return nil, err
	}
	code, header, text, err := post(s.http+"/api/v1/signingCert", r, body, true)
	if err != nil || code != 201 {
		return refusal(code, header, text), err
	}
	return issued(fmt.Sprint(code), header.Get("Content-Type"), []string{string(text)})
}

func issued(status, contentType string, pems []string) (*answer, error) {
	a := &answer{status: status, contentType: contentType}
	rest := []byte(strings.Join(pems, "\n"))
	for {
		block, more := pem.Decode(rest)
		if block == nil {
			return a, nil
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return &answer{status: status + ", a certificate that cannot be read", message: err.Error()}, nil
		}
		a.chain, rest = append(a.chain, certificate), more
	}
}

var connections = map[string]*grpc.ClientConn{}

func dial(target string) (*grpc.ClientConn, error) {
	if known := connections[target]; known != nil {
		return known, nil
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	connections[target] = connection
	return connection, err
}

func refused(err error) *answer {
	said := status.Convert(err)
	return &answer{status: said.Code().String(), message: said.Message()}
}

func askGRPC(s *server, r *request, inMetadata bool) (*answer, error) {
	connection, err := dial(s.grpc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	asked := &v2.CreateSigningCertificateRequest{}
	if inMetadata {
		ctx = metadata.AppendToOutgoingContext(ctx, "oidcidentitytoken", r.token)
	} else {
		asked.Credentials = &v2.Credentials{Credentials: &v2.Credentials_OidcIdentityToken{OidcIdentityToken: r.token}}
	}
	if r.csr != nil {
		asked.Key = &v2.CreateSigningCertificateRequest_CertificateSigningRequest{CertificateSigningRequest: r.csr}
	} else {
		asked.Key = &v2.CreateSigningCertificateRequest_PublicKeyRequest{PublicKeyRequest: &v2.PublicKeyRequest{
			PublicKey: &v2.PublicKey{Algorithm: v2.PublicKeyAlgorithm_ECDSA, Content: string(r.keyPEM)}, ProofOfPossession: r.proof}}
	}
	made, err := v2.NewCAClient(connection).CreateSigningCertificate(ctx, asked)
	if err != nil {
		return refused(err), nil
	}
	chain := made.GetSignedCertificateEmbeddedSct().GetChain()
	if chain == nil {
		chain = made.GetSignedCertificateDetachedSct().GetChain()
	}
	return issued("OK", "", chain.GetCertificates())
}

func askLegacyGRPC(s *server, r *request) (*answer, error) {
	connection, err := dial(s.legacy)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	ctx = metadata.AppendToOutgoingContext(ctx, "oidcidentitytoken", r.token)
	asked := &legacy.CreateSigningCertificateRequest{CertificateSigningRequest: r.csr}
	if r.csr == nil {
		asked.PublicKey = &legacy.PublicKey{Algorithm: "ecdsa", Content: r.keyDER}
		asked.SignedEmailAddress = r.proof
	}
	made, err := legacy.NewCAClient(connection).CreateSigningCertificate(ctx, asked)
	if err != nil {
		return refused(err), nil
	}
	return issued("OK", made.GetContentType(), []string{string(made.GetData())})
}
