//! `cargo xtask kube`: builds a real Kubernetes API server, for the tests that otherwise meet a stand-in.
//!
//! Debian has no package of it, but has its source with everything that it vendors, a Go that compiles it, and etcd, which it
//! stores in. All is fetched by apt into a folder of its own and unpacked there; nothing is installed. It takes several minutes of
//! processor time, which is why the tests do not ask for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::run::{run, say, succeeds};

/// The Go that compiles this Kubernetes.
const GO: &str = "1.19";
/// Packages that are unpacked: that Go, etcd, and a newer version of a library whose vendored one crashes when that Go compiles it.
const PACKAGES: [&str; 4] =
    ["golang-1.19-go", "golang-1.19-src", "etcd-server", "golang-github-modern-go-reflect2-dev"];
/// The variables that name the results to the tests.
const VARIABLES: [&str; 2] = ["GYRE_TEST_KUBE_APISERVER", "GYRE_TEST_ETCD"];

/// Writes the description of the API that the server publishes, which the source package does not hold, and compiles.
const BUILD: &str = r#"
set -eu
cd "$GOPATH/src/k8s.io/kubernetes"
go build -o "$OUT/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
packages() {
    find -L "$@" -name '*.go' ! -name '*_test.go' ! -path '*/code-generator/*' ! -path '*/sample-apiserver/*' \
        -exec grep -l '+k8s:openapi-gen=' {} + | xargs -n1 dirname | sort -u | sed 's,^,k8s.io/kubernetes/,'
}
"$OUT/openapi-gen" --logtostderr -h hack/boilerplate/boilerplate.generatego.txt \
    -i "$(packages vendor/k8s.io pkg cmd plugin | paste -sd,)" \
    -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi -r "$OUT/violations"
go build -o "$OUT/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver
"#;

/// Builds what is missing, and says how the tests find it.
pub(crate) fn build(root: &Path) -> Result<(), Failure> {
    let folder = root.join("target/kube");
    let (server, unpacked) = (folder.join("kube-apiserver"), folder.join("root"));
    let etcd = unpacked.join("usr/bin/etcd");
    if !server.exists() || !etcd.exists() {
        for (program, package) in
            [("apt-get", "apt"), ("dpkg-deb", "dpkg"), ("tar", "tar"), ("xargs", "findutils")]
        {
            if !succeeds(Command::new(program).arg("--version")) {
                return Err(Failure::new(format!("{program} is missing"))
                    .remedy(format!("this works on Debian 12, with its package {package}")));
            }
        }
        fetch(&folder, &unpacked)?;
        compile(&folder, &unpacked)?;
    }
    say("The API server is built; name it to the tests");
    println!("export {}={} {}={}", VARIABLES[0], server.display(), VARIABLES[1], etcd.display());
    println!("cargo nextest run -p gyre-kube -p gyre --test cluster --test deploy");
    Ok(())
}

/// Fetches the source and the packages, and unpacks them.
fn fetch(folder: &Path, unpacked: &Path) -> Result<(), Failure> {
    say("Fetching Kubernetes' source, Go and etcd from Debian");
    let wrong = |error: std::io::Error| Failure::new(format!("{}: {error}", folder.display()));
    let lists = folder.join("apt/lists");
    fs::create_dir_all(lists.join("partial")).map_err(wrong)?;
    let sources = folder.join("apt/sources.list");
    let kinds = ["deb", "deb-src"].map(|kind| format!("{kind} http://deb.debian.org/debian bookworm main\n"));
    fs::write(&sources, kinds.concat()).map_err(wrong)?;
    let apt = |words: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .arg(format!("-oDir::Etc::sourcelist={}", sources.display()))
            .args([
                "-oDir::Etc::sourceparts=/dev/null",
                "-oDir::Cache::srcpkgcache=",
                "-oDir::Cache::pkgcache=",
            ])
            .arg(format!("-oDir::State::lists={}", lists.display()))
            .args(["--quiet", "-oDebug::NoLocking=1"])
            .args(words)
            .current_dir(folder);
        run(&mut command)
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", "kubernetes"])?;
    apt(&[&["download"][..], &PACKAGES[..]].concat())?;
    fs::create_dir_all(unpacked).map_err(wrong)?;
    let mut source = None;
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let path = entry.map_err(wrong)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".deb") {
            run(Command::new("dpkg-deb").arg("--extract").args([&path, unpacked]))?;
        } else if name.starts_with("kubernetes_") && name.contains(".orig.tar") {
            source = Some(path);
        }
    }
    let source = source.ok_or_else(|| Failure::new("apt-get fetched no source of kubernetes"))?;
    let tree = tree(folder);
    if tree.exists() {
        fs::remove_dir_all(&tree).map_err(wrong)?;
    }
    fs::create_dir_all(&tree).map_err(wrong)?;
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(source)
        .arg("--strip-components=1")
        .arg("--directory")
        .arg(&tree))?;
    let (old, new) =
        ("vendor/github.com/modern-go/reflect2", "usr/share/gocode/src/github.com/modern-go/reflect2");
    fs::remove_dir_all(tree.join(old)).map_err(wrong)?;
    run(Command::new("cp").arg("--recursive").args([unpacked.join(new), tree.join(old)]))
}

/// Where Go expects the source to lie.
fn tree(folder: &Path) -> PathBuf {
    folder.join("gopath/src/k8s.io/kubernetes")
}

fn compile(folder: &Path, unpacked: &Path) -> Result<(), Failure> {
    say("Compiling the API server: several minutes");
    let go = unpacked.join(format!("usr/lib/go-{GO}"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(go.join("bin")).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(paths).map_err(|error| Failure::new(format!("PATH: {error}")))?;
    run(Command::new("nice")
        .args(["-n", "10", "sh", "-c", BUILD])
        .env("PATH", path)
        .env("GOROOT", &go)
        .env("GOPATH", folder.join("gopath"))
        .env("GOCACHE", folder.join("cache"))
        // The source is older than modules' ways; without them nothing is fetched.
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .env("GOFLAGS", "-p=1")
        .env("OUT", folder))
}
