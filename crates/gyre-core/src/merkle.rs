//! The Merkle tree over the journal, as RFC 6962 §2.1 defines it.
//!
//! Leaves are hashed with the prefix `0x00`, inner nodes with `0x01`, so that a leaf can never pass for a node.
//! [`Frontier`] grows the tree one leaf at a time in memory logarithmic in its size; [`inclusion_proof`] and
//! [`consistency_proof`] are made from the leaf hashes, and their verifiers need neither the tree nor us.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::Digest;

/// The hash of a leaf: SHA-256(0x00 ‖ data).
pub fn leaf_hash(data: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::new().chain_update([0]).chain_update(data).finalize().into())
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let hash = Sha256::new().chain_update([1]).chain_update(left.as_bytes()).chain_update(right.as_bytes());
    Digest::from_bytes(hash.finalize().into())
}

/// The right edge of a growing tree: the roots of its complete subtrees, largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next leaf.
    pub fn push(&mut self, leaf: Digest) {
        let mut node = leaf;
        // A carry for each trailing one bit of the old size, as in binary addition.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// The tree's root; SHA-256 of nothing for the empty tree.
    pub fn root(&self) -> Digest {
        let mut peaks = self.peaks.iter().rev();
        let Some(last) = peaks.next() else { return Digest::of(b"") };
        peaks.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root of the tree over `leaves` (already hashed by [`leaf_hash`]).
pub fn root(leaves: &[Digest]) -> Digest {
    let mut frontier = Frontier::default();
    leaves.iter().for_each(|leaf| frontier.push(*leaf));
    frontier.root()
}

/// The largest power of two smaller than `n`, for `n` of at least 2.
fn split(n: usize) -> usize {
    1 << (usize::BITS - 1 - (n - 1).leading_zeros())
}

/// The audit path for leaf `index` (RFC 6962 §2.1.1), leaf to root; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Digest], index: usize) -> Option<Vec<Digest>> {
    if index >= leaves.len() {
        return None;
    }
    if leaves.len() == 1 {
        return Some(Vec::new());
    }
    let k = split(leaves.len());
    let (left, right) = leaves.split_at(k);
    let (mut path, sibling) = if index < k {
        (inclusion_proof(left, index)?, root(right))
    } else {
        (inclusion_proof(right, index - k)?, root(left))
    };
    path.push(sibling);
    Some(path)
}

/// Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with `root`.
pub fn verify_inclusion(leaf: Digest, index: u64, size: u64, proof: &[Digest], root: Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut fnode, mut snode, mut hash) = (index, size - 1, leaf);
    for sibling in proof {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            hash = node_hash(sibling, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && hash == root
}

/// The proof that the tree of the first `old` leaves is a prefix of the tree of all (RFC 6962 §2.1.2); `None`
/// unless `0 < old <= leaves.len()`.
pub fn consistency_proof(leaves: &[Digest], old: usize) -> Option<Vec<Digest>> {
    fn subproof(leaves: &[Digest], old: usize, complete: bool) -> Vec<Digest> {
        if old == leaves.len() {
            return if complete { Vec::new() } else { vec![root(leaves)] };
        }
        let k = split(leaves.len());
        let (left, right) = leaves.split_at(k);
        if old <= k {
            let mut path = subproof(left, old, complete);
            path.push(root(right));
            path
        } else {
            let mut path = subproof(right, old - k, false);
            path.push(root(left));
            path
        }
    }
    (old > 0 && old <= leaves.len()).then(|| subproof(leaves, old, true))
}

/// Whether `proof` shows that the tree (`old_size`, `old_root`) is a prefix of (`size`, `root`): nothing that
/// was once in the journal has been changed or taken out.
pub fn verify_consistency(
    (old_size, old_root): (u64, Digest),
    (size, root): (u64, Digest),
    proof: &[Digest],
) -> bool {
    if old_size == 0 || old_size > size {
        return false;
    }
    if old_size == size {
        return proof.is_empty() && old_root == root;
    }
    let mut proof = proof.iter();
    let (mut fnode, mut snode) = (old_size - 1, size - 1);
    while fnode & 1 == 1 {
        fnode >>= 1;
        snode >>= 1;
    }
    let first = if old_size.is_power_of_two() { Some(&old_root) } else { proof.next() };
    let Some(first) = first else { return false };
    let (mut old_hash, mut hash) = (*first, *first);
    for sibling in proof {
        if snode == 0 {
            return false;
        }
        if fnode & 1 == 1 || fnode == snode {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    snode == 0 && old_hash == old_root && hash == root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(n: u64) -> Vec<Digest> {
        (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// The test vectors published with Certificate Transparency's reference implementation.
    #[test]
    fn roots_equal_the_published_vectors() {
        let data = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657"];
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ];
        let mut frontier = Frontier::default();
        for (data, expected) in data.iter().zip(roots) {
            frontier.push(leaf_hash(&hex::decode(data).unwrap()));
            assert_eq!(frontier.root().to_hex(), expected);
        }
    }

    #[test]
    fn every_leaf_of_every_small_tree_proves_itself_and_nothing_else() {
        for size in 1..40u64 {
            let leaves = leaves(size);
            let root = root(&leaves);
            for index in 0..size {
                let proof = inclusion_proof(&leaves, index as usize).unwrap();
                assert!(verify_inclusion(leaves[index as usize], index, size, &proof, root));
                assert!(!verify_inclusion(leaf_hash(b"forged"), index, size, &proof, root));
                assert!(!verify_inclusion(leaves[index as usize], index + 1, size, &proof, root));
                if let Some((_, shorter)) = proof.split_last() {
                    assert!(!verify_inclusion(leaves[index as usize], index, size, shorter, root));
                }
            }
        }
    }

    #[test]
    fn every_prefix_of_every_small_tree_is_consistent_and_a_rewrite_is_not() {
        for size in 1..40usize {
            let leaves = leaves(size as u64);
            let whole = (size as u64, root(&leaves));
            for old in 1..=size {
                let proof = consistency_proof(&leaves, old).unwrap();
                let prefix = (old as u64, root(&leaves[..old]));
                assert!(verify_consistency(prefix, whole, &proof), "{old} of {size}");
                let mut rewritten = leaves[..old].to_vec();
                rewritten[0] = leaf_hash(b"rewritten");
                assert!(!verify_consistency((old as u64, root(&rewritten)), whole, &proof));
            }
        }
    }
}
