#!/bin/sh
# Two real vocabularies of 32,000 tokens, LLaMA's and Mistral's, as tokenizer.json files in a folder, from the npm packages of
# belladore.ai (MIT). Needs npm and node. The map of one into the other by edit distance is then measured by `steps.sh` beside
# a peer, where VOCABULARIES names the folder, or alone with
#
#   benches/peers/vocabularies.sh target/vocabularies
#   cargo bench --workspace --bench steps -- vocabulary target/vocabularies/llama.json target/vocabularies/mistral.json
set -eu
out=${1:?a folder for the files}
mkdir -p "$out"
cd "$out"
for name in llama-tokenizer-js@1.2.2 mistral-tokenizer-js@1.0.0; do
  npm pack --silent "$name" | xargs tar -xzf
  family=${name%%-*}
  cp "package/$family-tokenizer.js" "$family.mjs"
  node --input-type=module -e "
    import { writeFileSync } from 'fs';
    const tokenizer = (await import('$PWD/$family.mjs')).default;
    const special = id => ({ id, content: tokenizer.vocabById[id], special: true, normalized: false,
      single_word: false, lstrip: false, rstrip: false });
    const normalizers = [{ type: 'Prepend', prepend: '▁' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }];
    writeFileSync('$family.json', JSON.stringify({
      version: '1.0',
      added_tokens: [0, 1, 2].map(special),
      normalizer: { type: 'Sequence', normalizers },
      pre_tokenizer: null,
      model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true,
        vocab: Object.fromEntries(tokenizer.vocabById.map((token, id) => [token, id])),
        merges: [...tokenizer.merges].sort((a, b) => a[1] - b[1]).map(([pair]) => pair) },
    }));"
  rm -r package "$family.mjs" "$family"-tokenizer-js-*.tgz
done
ls "$PWD"/*.json
