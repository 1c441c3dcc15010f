// A smaller round with a client of another language.
const MLflow = require('mlflow')
const assert = require('assert')

async function main() {
  const client = new MLflow({ endpoint: process.argv[2] })
  const { experiment_id } = await client.Experiments.create({ name: 'from-node' })
  const { run } = await client.Runs.create({ experiment_id, user_id: 'node', start_time: Date.now(), tags: [{ key: 'lang', value: 'js' }] })
  const run_id = run.info.run_id
  await client.Runs.logParameter({ run_id, key: 'lr', value: '0.1' })
  for (let step = 0; step < 3; step++) await client.Runs.logMetric({ run_id, key: 'acc', value: step / 10, timestamp: Date.now(), step })
  await client.Runs.logBatch({ run_id, metrics: [{ key: 'loss', value: 0.5, timestamp: Date.now(), step: 0 }], params: [{ key: 'opt', value: 'adam' }], tags: [] })
  await client.Runs.update({ run_id, status: 'FINISHED', end_time: Date.now() })
  const got = (await client.Runs.get({ run_id })).run
  assert.strictEqual(got.info.status, 'FINISHED')
  assert.deepStrictEqual(got.data.params.map((p) => `${p.key}=${p.value}`).sort(), ['lr=0.1', 'opt=adam'])
  const { metrics } = await client.Metrics.getHistory({ run_id, metric_key: 'acc' })
  assert.deepStrictEqual(metrics.map((m) => m.step), [0, 1, 2])
  const { runs } = await client.Runs.search({ experiment_ids: [experiment_id], filter: "metrics.acc >= 0.2 and tags.lang = 'js'" })
  assert.deepStrictEqual(runs.map((r) => r.info.run_id), [run_id])
  console.log(run_id)
}

main().catch((error) => { console.error(error); process.exit(1) })
