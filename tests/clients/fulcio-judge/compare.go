package main

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"strings"
)

// What a log adds to a certificate: fulcio runs without one.
const timestamps = "1.3.6.1.4.1.11129.2.4.2"

var oneLine = strings.NewReplacer("\n", " ", "\t", "")

// compare names each way in which our answer is not theirs.
func compare(theirs, ours *answer) []string {
	var found []string
	differ := func(field string, their, our any) {
		if t, o := fmt.Sprint(their), fmt.Sprint(our); t != o {
			found = append(found, oneLine.Replace(fmt.Sprintf("%s | theirs: %.300s | ours: %.300s", field, t, o)))
		}
	}
	if theirs.status != ours.status {
		// What else differs follows from it.
		differ("status", theirs.status+" "+theirs.message, ours.status+" "+ours.message)
		return found
	}
	differ("content type", theirs.contentType, ours.contentType)
	// Ours says the same and then why.
	if !strings.HasPrefix(ours.message, theirs.message) {
		differ("message", theirs.message, ours.message)
	}
	differ("length of the chain", len(theirs.chain), len(ours.chain))
	their, our := theirs.leaf(), ours.leaf()
	if their == nil || our == nil {
		return found
	}
	for number := 1; number < min(len(theirs.chain), len(ours.chain)); number++ {
		differ(fmt.Sprintf("certificate %d of the chain", number),
			fmt.Sprintf("%x", theirs.chain[number].Raw), fmt.Sprintf("%x", ours.chain[number].Raw))
	}
	differ("version", their.Version, our.Version)
	differ("issuer", fmt.Sprintf("%x", their.RawIssuer), fmt.Sprintf("%x", our.RawIssuer))
	differ("subject", fmt.Sprintf("%x", their.RawSubject), fmt.Sprintf("%x", our.RawSubject))
	differ("public key", fmt.Sprintf("%x", their.RawSubjectPublicKeyInfo), fmt.Sprintf("%x", our.RawSubjectPublicKeyInfo))
	differ("signature algorithm", their.SignatureAlgorithm, our.SignatureAlgorithm)
	differ("validity", their.NotAfter.Sub(their.NotBefore), our.NotAfter.Sub(our.NotBefore))
	if gap := our.NotBefore.Sub(their.NotBefore).Abs().Seconds(); gap > 5 {
		differ("not before", their.NotBefore, our.NotBefore)
	}
	if our.SerialNumber.Sign() <= 0 || our.SerialNumber.BitLen() > 159 {
		differ("serial number", "positive, at most 20 octets", our.SerialNumber)
	}
	if err := our.CheckSignatureFrom(ours.chain[1]); err != nil {
		differ("signature", "by the next of the chain", err)
	}
	differ("e-mail addresses", their.EmailAddresses, our.EmailAddresses)
	differ("URIs", their.URIs, our.URIs)
	differ("order of extensions", order(their), order(our))
	for _, extension := range our.Extensions {
		for _, other := range their.Extensions {
			if other.Id.Equal(extension.Id) {
				name := extension.Id.String()
				differ(name+" critical", other.Critical, extension.Critical)
				if !bytes.Equal(other.Value, extension.Value) {
					differ(name, fmt.Sprintf("%q", other.Value), fmt.Sprintf("%q", extension.Value))
				}
			}
		}
	}
	return found
}

func order(certificate *x509.Certificate) []string {
	var names []string
	for _, extension := range certificate.Extensions {
		if name := extension.Id.String(); name != timestamps {
			names = append(names, name)
		}
	}
	return names
}
