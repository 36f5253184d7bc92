// A client made of sigstore-go, for the stories: the command line of sigstore-conformance, which all library clients here speak.
//
//	client sign-bundle   [--in-toto] --identity-token T --bundle F --trusted-root R --signing-config S FILE
//	client verify-bundle --bundle F --certificate-identity I --certificate-oidc-issuer U --trusted-root R FILE
//	client verify-bundles --trusted-root R LIST
//	client log-over-grpc --rekor-url U --trusted-root R FILE
//
// The last two are not the suite's. Each line of LIST is a bundle, an identity, an issuer and a file, with tabs between, and gets
// a line of its own on standard output, `verified` or `refused` and why. The entry that is logged over gRPC is printed.
//
// It asks for what an application should: a certificate timestamp, a log entry, and one verified time.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

const timeout = 30 * time.Second

type options struct {
	bundle, identity, issuer, rekor, signingConfig, token, trustedRoot string
	intoto                                                             bool
	file                                                               string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("expected sign-bundle, verify-bundle, verify-bundles or log-over-grpc")
	}
	var o options
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	flags.StringVar(&o.bundle, "bundle", "", "bundle to write or read")
	flags.StringVar(&o.identity, "certificate-identity", "", "expected identity")
	flags.StringVar(&o.issuer, "certificate-oidc-issuer", "", "expected issuer")
	flags.StringVar(&o.rekor, "rekor-url", "", "log to write to over gRPC")
	flags.StringVar(&o.signingConfig, "signing-config", "", "signing configuration")
	flags.StringVar(&o.token, "identity-token", "", "identity token")
	flags.StringVar(&o.trustedRoot, "trusted-root", "", "trusted root")
	flags.BoolVar(&o.intoto, "in-toto", false, "FILE is an in-toto statement")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return fmt.Errorf("expected one FILE, got %d", flags.NArg())
	}
	o.file = flags.Arg(0)
	switch args[0] {
	case "sign-bundle":
		return signBundle(o)
	case "verify-bundle":
		return verifyBundle(o)
	case "verify-bundles":
		return verifyBundles(o)
	case "log-over-grpc":
		return logOverGRPC(o)
	default:
		return fmt.Errorf("expected sign-bundle, verify-bundle, verify-bundles or log-over-grpc, got %s", args[0])
	}
}

func signBundle(o options) error {
	data, err := os.ReadFile(o.file)
	if err != nil {
		return err
	}
	services, err := servicesOf(o)
	if err != nil {
		return err
	}
	keypair, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	var content sign.Content = &sign.PlainData{Data: data}
	if o.intoto {
		content = &sign.DSSEData{Data: data, PayloadType: "application/vnd.in-toto+json"}
	}
	// With a trusted root the library verifies what it made before it returns it.
	made, err := sign.Bundle(content, keypair, *services)
	if err != nil {
		return err
	}
	text, err := protojson.Marshal(made)
	if err != nil {
		return err
	}
	return os.WriteFile(o.bundle, text, 0o644)
}

func servicesOf(o options) (*sign.BundleOptions, error) {
	config, err := root.NewSigningConfigFromPath(o.signingConfig)
	if err != nil {
		return nil, err
	}
	trusted, err := root.NewTrustedRootFromPath(o.trustedRoot)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	ca, err := root.SelectService(config.FulcioCertificateAuthorityURLs(), sign.FulcioAPIVersions, now)
	if err != nil {
		return nil, err
	}
	made := &sign.BundleOptions{
		TrustedRoot:                trusted,
		CertificateProvider:        sign.NewFulcio(&sign.FulcioOptions{BaseURL: ca.URL, Timeout: timeout}),
		CertificateProviderOptions: &sign.CertificateProviderOptions{IDToken: o.token},
	}
	authorities, err := root.SelectServices(config.TimestampAuthorityURLs(), config.TimestampAuthorityURLsConfig(),
		sign.TimestampAuthorityAPIVersions, now)
	if err != nil {
		return nil, err
	}
	for _, authority := range authorities {
		made.TimestampAuthorities = append(made.TimestampAuthorities,
			sign.NewTimestampAuthority(&sign.TimestampAuthorityOptions{URL: authority.URL, Timeout: timeout}))
	}
	logs, err := root.SelectServices(config.RekorLogURLs(), config.RekorLogURLsConfig(), sign.RekorAPIVersions, now)
	if err != nil {
		return nil, err
	}
	for _, log := range logs {
		made.TransparencyLogs = append(made.TransparencyLogs,
			sign.NewRekor(&sign.RekorOptions{BaseURL: log.URL, Timeout: timeout, Version: log.MajorAPIVersion}))
	}
	return made, nil
}

func verifyBundle(o options) error {
	read, err := bundle.LoadJSONFromPath(o.bundle)
	if err != nil {
		return err
	}
	trusted, err := root.NewTrustedRootFromPath(o.trustedRoot)
	if err != nil {
		return err
	}
	identity, err := verify.NewShortCertificateIdentity(o.issuer, "", o.identity, "")
	if err != nil {
		return err
	}
	verifier, err := verify.NewVerifier(trusted, verify.WithSignedCertificateTimestamps(1),
		verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1))
	if err != nil {
		return err
	}
	artifact, err := os.Open(o.file)
	if err != nil {
		return err
	}
	defer artifact.Close()
	_, err = verifier.Verify(read, verify.NewPolicy(verify.WithArtifact(artifact), verify.WithCertificateIdentity(identity)))
	return err
}

func verifyBundles(o options) error {
	list, err := os.Open(o.file)
	if err != nil {
		return err
	}
	defer list.Close()
	lines := bufio.NewScanner(list)
	for lines.Scan() {
		row := strings.Split(lines.Text(), "\t")
		if len(row) != 4 {
			return fmt.Errorf("expected bundle, identity, issuer and file, got %d columns", len(row))
		}
		err := verifyBundle(options{bundle: row[0], identity: row[1], issuer: row[2], file: row[3], trustedRoot: o.trustedRoot})
		if err != nil {
			fmt.Printf("refused\t%s\n", strings.ReplaceAll(err.Error(), "\n", " "))
		} else {
			fmt.Println("verified")
		}
	}
	return lines.Err()
}
