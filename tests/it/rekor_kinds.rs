//! Every kind of Rekor v1 from files that the formats' own tools made, through rekor-cli, which makes each leaf for itself and
//! compares.

use std::process::Command;

use tests::clients::rekor_cli;
use tests::stack::Stack;
use tests::{ok, refused};

/// What is uploaded, and what finds it again.
struct Made {
    name: &'static str,
    /// Makes the files in an empty folder of its own.
    script: &'static str,
    upload: &'static [&'static str],
    search: &'static [&'static str],
}

/// A key for one address, exported in both forms.
const GPG_KEY: &str = "
mkdir -m 700 gnupg; export GNUPGHOME=$PWD/gnupg
gpg() { command gpg --batch --quiet --pinentry-mode loopback --passphrase '' \"$@\"; }
gpg --quick-gen-key 'Packager <packager@example.com>' $ALGORITHM sign never
gpg --armor --export > key.asc; gpg --export > key.gpg
trap 'gpgconf --kill all' EXIT
";

const MADE: &[Made] = &[
    Made {
        name: "rpm of rpmbuild and rpmsign",
        script: "ALGORITHM=rsa3072; KEY
cat > x.spec <<'END'
Name: hello
Version: 1.2
Release: 3
Epoch: 4
Summary: A greeting
License: MIT
BuildArch: noarch
%description
Greets.
%install
mkdir -p %{buildroot}/usr/share/hello && echo hi > %{buildroot}/usr/share/hello/hi
%files
/usr/share/hello/hi
END
rpmbuild --quiet --define \"_topdir $PWD/rpmbuild\" -bb x.spec
mv rpmbuild/RPMS/noarch/*.rpm hello.rpm
rpmsign --define '__gpg /usr/bin/gpg' --define '_gpg_name packager@example.com' --addsign hello.rpm",
        upload: &["--type", "rpm", "--pki-format", "pgp", "--artifact", "hello.rpm", "--public-key", "key.asc"],
        search: &["--email", "packager@example.com"],
    },
    Made {
        name: "apk of tar, gzip and openssl",
        script: "openssl genrsa -out key.pem 2048 2>/dev/null; openssl rsa -in key.pem -pubout -out key.pub 2>/dev/null
echo data > hello; tar -czf data.tar.gz hello
printf 'pkgname = hello\\npkgver = 1.2-r3\\ndatahash = %s\\n' $(sha256sum data.tar.gz | cut -d' ' -f1) > .PKGINFO
tar -czf control.tar.gz .PKGINFO
openssl dgst -sha1 -sign key.pem -out .SIGN.RSA.key.rsa.pub control.tar.gz
tar -czf signature.tar.gz .SIGN.RSA.key.rsa.pub
cat signature.tar.gz control.tar.gz data.tar.gz > hello.apk",
        upload: &["--type", "alpine", "--pki-format", "x509", "--artifact", "hello.apk", "--public-key", "key.pub"],
        search: &["--public-key", "key.pub", "--pki-format", "x509"],
    },
    Made {
        name: "jar of jarsigner",
        script: "echo hello > hello; jar cf hello.jar hello
keytool -genkeypair -keystore keys -storepass changeit -alias a -keyalg EC -groupname secp256r1 -dname CN=packager 2>/dev/null
jarsigner -keystore keys -storepass changeit hello.jar a >/dev/null 2>&1",
        upload: &["--type", "jar", "--artifact", "hello.jar"],
        search: &["--artifact", "hello.jar"],
    },
    Made {
        name: "helm provenance of gpg",
        script: "ALGORITHM=ed25519; KEY
printf 'apiVersion: v2\\nname: hello\\nversion: 0.1.0\\n\\n...\\nfiles:\\n  hello-0.1.0.tgz: sha256:%064d\\n' 7 > hello.yaml
gpg --clearsign --output hello.tgz.prov hello.yaml",
        upload: &["--type", "helm", "--pki-format", "pgp", "--artifact", "hello.tgz.prov", "--public-key", "key.asc"],
        search: &["--sha", "sha256:0000000000000000000000000000000000000000000000000000000000000007"],
    },
    Made {
        name: "rekord of gpg, armored",
        script: "ALGORITHM=nistp256; KEY
echo armored > hello; gpg --armor --detach-sign --output hello.sig hello",
        upload: &[
            "--type", "rekord", "--pki-format", "pgp", "--artifact", "hello", "--signature", "hello.sig", "--public-key",
            "key.asc",
        ],
        search: &["--public-key", "key.asc", "--pki-format", "pgp"],
    },
    Made {
        name: "rekord of gpg, binary",
        script: "ALGORITHM=rsa2048; KEY
echo binary > hello; gpg --detach-sign --output hello.sig hello",
        upload: &[
            "--type", "rekord", "--pki-format", "pgp", "--artifact", "hello", "--signature", "hello.sig", "--public-key",
            "key.gpg",
        ],
        search: &["--artifact", "hello"],
    },
    Made {
        name: "rekord of minisign",
        script: "echo minisign > hello; minisign -G -W -p key.pub -s key >/dev/null
minisign -S -s key -m hello -x hello.sig >/dev/null",
        upload: &[
            "--type", "rekord", "--pki-format", "minisign", "--artifact", "hello", "--signature", "hello.sig",
            "--public-key", "key.pub",
        ],
        search: &["--public-key", "key.pub", "--pki-format", "minisign"],
    },
    Made {
        name: "rekord of ssh-keygen",
        script: "echo ssh > hello; ssh-keygen -q -t ed25519 -N '' -C dev@example.org -f key
ssh-keygen -q -Y sign -n file -f key hello 2>/dev/null",
        upload: &[
            "--type", "rekord", "--pki-format", "ssh", "--artifact", "hello", "--signature", "hello.sig", "--public-key",
            "key.pub",
        ],
        search: &["--email", "dev@example.org"],
    },
    Made {
        name: "rfc3161 of openssl ts",
        script: "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out tsa.pem -subj /CN=tsa -days 2 \
-addext extendedKeyUsage=critical,timeStamping 2>/dev/null
cat > tsa.cnf <<'END'
[ts]
serial = serial
crypto_device = builtin
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
ess_cert_id_alg = sha256
END
echo 01 > serial; echo timestamp > hello
openssl ts -query -data hello -sha256 -cert -out hello.tsq 2>/dev/null
openssl ts -reply -config tsa.cnf -section ts -queryfile hello.tsq -signer tsa.pem -inkey key.pem -out hello.tsr 2>/dev/null",
        upload: &["--type", "rfc3161", "--artifact", "hello.tsr"],
        search: &["--artifact", "hello.tsr"],
    },
    Made {
        name: "intoto of openssl",
        script: "openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub 2>/dev/null
type=application/vnd.in-toto+json; commit=$(printf c%.0s $(seq 40))
payload=$(printf '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"subject\":[{\"name\":\"x\",\"digest\":{\"gitCommit\":\"%s\"}}],\"predicateType\":\"x\",\"predicate\":{}}' $commit)
signature=$(printf 'DSSEv1 %d %s %d %s' ${#type} $type ${#payload} \"$payload\" | openssl dgst -sha256 -sign key.pem | base64 -w0)
printf '{\"payload\":\"%s\",\"payloadType\":\"%s\",\"signatures\":[{\"sig\":\"%s\"}]}' $(printf %s \"$payload\" | base64 -w0) $type $signature > envelope.json",
        upload: &["--type", "intoto", "--pki-format", "x509", "--artifact", "envelope.json", "--public-key", "key.pub"],
        search: &["--sha", "sha1:cccccccccccccccccccccccccccccccccccccccc"],
    },
];

#[test]
fn every_kind_is_uploaded_found_and_verified_with_the_tools_of_its_format() {
    let stack = Stack::ephemeral();
    for made in MADE {
        tests::say(made.name);
        let folder = stack.path(&made.name.replace(' ', "-"));
        std::fs::create_dir_all(&folder).unwrap();
        let script = made.script.replace("KEY\n", GPG_KEY);
        ok(Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &folder)
            .current_dir(&folder));
        let cli = |command: &str, args: &[&str]| {
            let mut cli = rekor_cli(&stack);
            cli.arg(command).args(args).current_dir(&folder);
            cli
        };

        let said = ok(&mut cli("upload", made.upload)).text();
        let (_, location) = said.split_once("/api/v1/log/entries/").expect(&said);
        let uuid = location.split_whitespace().next().unwrap();
        assert_eq!(uuid.len(), 80, "{said}");
        let got = ok(&mut cli("get", &["--uuid", uuid, "--format", "json"])).stdout;
        assert!(got.contains(uuid), "{}: {got}", made.name);
        if made.upload.contains(&"intoto") {
            // An expected failure: rekor-cli 1.5.4 puts this kind into an object of another name and without its kind, which
            // rekor-server refuses in the same words.
            let said = refused(&mut cli("verify", made.upload)).text();
            assert!(said.contains("kind in body is required"), "{said}");
            ok(&mut cli("verify", &["--uuid", uuid]));
        } else {
            ok(&mut cli("verify", made.upload));
        }
        let found = ok(&mut cli("search", made.search)).text();
        assert!(found.contains(uuid), "{}: {found}", made.name);
        let again = ok(&mut cli("upload", made.upload)).text();
        assert!(
            again.contains("already exists") && again.contains(uuid),
            "{}: {again}",
            made.name
        );
    }
    // An attestation is served with its entry.
    let found = ok(rekor_cli(&stack).args(["search", "--sha", &format!("sha1:{}", "c".repeat(40))])).stdout;
    let got = ok(rekor_cli(&stack).args(["get", "--uuid", found.trim(), "--format", "json"])).stdout;
    assert!(got.contains("in-toto.io/Statement"), "{got}");
}

#[test]
fn a_kind_that_is_off_is_refused_in_upstreams_words() {
    let stack = Stack::with(&["--rekor-kinds", "public"]);
    let rpm = stack.file(
        "rpm.json",
        r#"{"kind":"rpm","apiVersion":"0.0.1","spec":{"package":{},"publicKey":{}}}"#,
    );
    let said = refused(
        Command::new("curl")
            .args(["--silent", "--show-error", "--fail-with-body", "--json"])
            .arg(format!("@{}", rpm.display()))
            .arg(stack.url("/api/v1/log/entries")),
    )
    .text();
    assert!(
        said.contains("entry kind 'rpm' is not enabled for submission on this server"),
        "{said}"
    );
}
