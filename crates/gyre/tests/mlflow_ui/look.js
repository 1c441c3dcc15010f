// Goes through MLflow's own pages in a browser, as a person would: looks, searches, renames, tags, registers, deletes.
//
// look.js PAGES FILLED PROFILE SHOTS: where the pages are, what fill.py said, an empty folder for the browser's profile, and
// a folder for a picture of the page on which something was missing. Fails when a page lacks what it should show, when any
// request fails that is not in EXPECTED, and when a script of the pages breaks.
const { chromium } = require('playwright-core')
const { execFileSync } = require('child_process')
const path = require('path')

const [base, filled, profile, shots] = process.argv.slice(2)
const { experiment, runs, models, trace } = JSON.parse(filled)

// What fails at MLflow's own server too, each with its reason.
const EXPECTED = [
  // Nobody has logged in, so there is no current user; the pages ask to find out.
  { status: 404, path: /^ajax-api\/2\.0\/mlflow\/users\/current$/ },
]

// The first is told in full where the request is watched; the second means that a page laid itself out in two goes.
const NOT_TOLD = [/^Failed to load resource/, /ResizeObserver loop/]

const troubles = []
let page
let place = 'the start'

function watch() {
  const shown = (url) => url.replace(base, '')
  page.on('response', async (response) => {
    if (response.status() < 400) return
    const at = shown(response.url()).replace(/\?.*/, '')
    if (EXPECTED.some((one) => one.status === response.status() && one.path.test(at))) return
    const said = await response.text().catch(() => '')
    const request = response.request()
    troubles.push(`${place}: ${request.method()} ${shown(response.url())} ${request.postData() || ''} -> ${response.status()} ${said}`)
  })
  page.on('pageerror', (error) => troubles.push(`${place}: a script broke: ${error.stack || error.message}`))
  page.on('console', (message) => {
    const text = message.text()
    if (message.type() === 'error' && !NOT_TOLD.some((one) => one.test(text))) troubles.push(`${place}: the console says: ${text}`)
  })
}

// Waits until all of `texts` can be seen.
async function see(...texts) {
  for (const text of texts) await page.getByText(text).filter({ visible: true }).first().waitFor()
}

// Waits until `text` can be seen nowhere.
async function miss(text) {
  await page.getByText(text, { exact: true }).filter({ visible: true }).first().waitFor({ state: 'hidden' })
}

// Goes to a page as a link within the pages does.
async function open(where) {
  place = where
  await page.goto(base + where)
}

// The same in a new document, so that nothing is shown but what the server says now.
async function reopen(where) {
  await page.goto('about:blank')
  await open(where)
}

async function step(name, act) {
  place = name
  const start = Date.now()
  try {
    await act()
  } catch (error) {
    const shot = path.join(shots, `${name.replace(/\W+/g, '-')}.png`)
    await page.screenshot({ path: shot })
    const text = await page.innerText('body')
    throw new Error(`${name} (${page.url()}; ${shot}): ${error.message}\nThe page says:\n${text}\n${troubles.join('\n')}`)
  }
  console.log(`${name}: ${Date.now() - start} ms`)
}

const runPage = (name, tab = '') => `#/experiments/${experiment}/runs/${runs[name]}${tab}`
const menu = (name) => page.getByRole('menuitem', { name }).click()
const button = (name) => page.getByRole('button', { name, exact: true }).filter({ visible: true }).first()

// Ticks the row of a run. The table keeps the columns that stay in place apart from the others, so a row is in two halves.
async function select(name) {
  const row = page.locator('.ag-row').filter({ hasText: name }).first()
  const id = await row.getAttribute('row-id')
  await page.locator(`.ag-row[row-id="${id}"] input[type="checkbox"]`).first().check({ force: true })
}

const dialog = () => page.getByRole('dialog').filter({ visible: true }).last()

async function looks() {
  await step('the experiments', async () => {
    await open('#/experiments')
    await see('diabetes', 'empty-handed', 'Default')
    await page.getByTestId('search-experiment-input').fill('diab')
    await page.keyboard.press('Enter')
    await miss('empty-handed')
    await page.getByRole('link', { name: 'diabetes' }).click()
    await see('Usage', 'Latency', /^\d+\.\d\dms$/)
  })
  await step('the runs of an experiment', async () => {
    await open(`#/experiments/${experiment}/runs`)
    await see('ridge-0.1', 'ridge-1.0', 'ridge-10.0', 'sweep', 'patients', 'matching runs')
    await page.getByTestId('search-box').fill('params.alpha = "1.0" and metrics.mae > 1')
    await page.keyboard.press('Enter')
    await miss('ridge-10.0')
    await see('ridge-1.0')
    await button('Columns').click()
    await page.getByPlaceholder('Search columns').fill('mae')
    await page.getByText('mae', { exact: true }).filter({ visible: true }).first().click()
    await page.keyboard.press('Escape')
    await see(/^47\.6\d*$/)
  })
  await step('the charts of an experiment', async () => {
    await open(`#/experiments/${experiment}/runs?compareRunsMode=CHART`)
    await see('Model metrics', 'loss', 'mae')
    await page.locator('.js-plotly-plot').first().waitFor()
  })
  await step('a run', async () => {
    await open(runPage('ridge-1.0'))
    await see('ridge-1.0', 'Finished', 'patients', 'science', 'progression', 'A ridge regression.', 'solver', 'svd', /^47\.6/, 'fill.py')
  })
  await step('the metrics of a run', async () => {
    await open(runPage('ridge-1.0', '/model-metrics'))
    await see('Model metrics', '(2)', 'loss', 'mae')
    await page.locator('.js-plotly-plot .scatterlayer .point').nth(40).waitFor()
  })
  await step('the artifacts of a run', async () => {
    await open(runPage('ridge-1.0', '/artifacts'))
    await page.getByText('notes', { exact: true }).click()
    await page.getByText('readme.txt', { exact: true }).click()
    await see('The weather of Thebes.', '23B')
    await page.getByText('answers.json', { exact: true }).click()
    await see('because')
    await page.getByText('square.png', { exact: true }).click()
    const image = page.locator('img[src^="blob:"], img[src*="get-artifact"], .image-outer-container img').first()
    await image.waitFor()
  })
  await step('the traces of a run', async () => {
    await open(runPage('ridge-1.0', '/traces'))
    await see('Traces')
  })
  await step('two runs side by side', async () => {
    const list = encodeURIComponent(JSON.stringify([runs['ridge-1.0'], runs['ridge-0.1']]))
    await open(`#/compare-runs?runs=${list}&experiments=${encodeURIComponent(JSON.stringify([experiment]))}`)
    await see('Comparing 2 Runs from 1 Experiment', 'ridge-1.0', 'ridge-0.1', 'solver')
  })
  await step('logged models', async () => {
    await open(`#/experiments/${experiment}/models`)
    await see('ridge-10.0', 'progression', 'Ready')
    await open(`#/experiments/${experiment}/models/${models['ridge-1.0']}/artifacts`)
    await page.getByText('MLmodel', { exact: true }).click()
    await see('loader_module: mlflow.sklearn')
  })
  await step('the registered models', async () => {
    await open('#/models')
    await see('progression', 'champion', 'Version 2', 'owner')
    await page.getByTestId('model-search-input').fill('nothing of that name')
    await page.keyboard.press('Enter')
    await miss('progression')
  })
  await step('a registered model', async () => {
    await open('#/models/progression')
    await see('Tells how far it has come after a year.', 'owner', 'ann', 'Version 1', 'Version 2', 'champion', 'checked', 'The first of its kind.')
  })
  await step('a version', async () => {
    await open('#/models/progression/versions/1')
    await see('The first of its kind.', 'champion', 'ridge-0.1', 'checked', 'Inputs (10)', 'Outputs (1)')
  })
  await step('two versions side by side', async () => {
    const list = encodeURIComponent(JSON.stringify({ 1: runs['ridge-0.1'], 2: runs['ridge-1.0'] }))
    await open(`#/compare-model-versions?name=${encodeURIComponent('"progression"')}&runs=${list}`)
    await see('Comparing 2 Versions', 'ridge-0.1', 'ridge-1.0')
  })
  await step('the traces', async () => {
    await open(`#/experiments/${experiment}/traces`)
    await see('what will be?', 'nobody knows', 'helpful')
    await open(`#/experiments/${experiment}/traces?selectedEvaluationId=${trace}`)
    await see('ask the oracle', 'look up', 'what will be?', 'nobody knows')
  })
  await step('the prompts', async () => {
    await open('#/prompts')
    await see('greet')
    await open('#/prompts/greet')
    await see('how are you?', 'politely')
  })
}

async function acts() {
  await step('a run is renamed', async () => {
    await open(runPage('ridge-10.0'))
    await see('Finished')
    await page.getByTestId('overflow-menu-trigger').click()
    await menu('Rename')
    await page.getByTestId('rename-modal-input').fill('the stiff one')
    await dialog().getByRole('button', { name: 'Save' }).click()
    await see('the stiff one')
    await open(runPage('ridge-10.0'))
    await see('the stiff one', 'Finished')
  })
  await step('a run is tagged', async () => {
    await page.getByRole('button', { name: 'Edit tags' }).click()
    await dialog().getByRole('combobox').fill('mood')
    await page.keyboard.press('Enter')
    await dialog().getByLabel('Value').fill('rigid')
    await dialog().getByRole('button', { name: 'Add tag' }).click()
    await dialog().getByRole('button', { name: 'Save tags' }).click()
    await open(runPage('ridge-10.0'))
    await see('mood', 'rigid')
  })
  await step('a run is deleted and restored', async () => {
    // The page remembers what was searched for last.
    await reopen(`#/experiments/${experiment}/runs?searchFilter=`)
    await select('to be dropped')
    await page.getByTestId('runs-delete-button').click()
    await dialog().getByRole('button', { name: 'Delete' }).click()
    await miss('to be dropped')
    await page.getByTestId('lifecycle-filter').click()
    await page.getByText('Deleted', { exact: true }).filter({ visible: true }).first().click()
    await select('to be dropped')
    await page.getByTestId('runs-restore-button').click()
    await dialog().getByRole('button', { name: 'Restore' }).click()
    await miss('to be dropped')
    await reopen(runPage('to be dropped'))
    await see('to be dropped', 'Finished')
  })
  await step('a model is registered', async () => {
    await reopen(`#/experiments/${experiment}/models/${models['ridge-10.0']}`)
    await button('Register model').click()
    await dialog().getByRole('combobox').click()
    await page.getByText('Create New Model').filter({ visible: true }).first().click()
    await dialog().getByPlaceholder('Input a model name').fill('stiffness')
    await dialog().getByRole('button', { name: 'Register' }).click()
    await dialog().waitFor({ state: 'hidden' })
    await reopen('#/models/stiffness')
    await see('Version 1')
  })
  await step('an alias moves', async () => {
    await reopen('#/models/progression/versions/2')
    await see('ridge-1.0')
    await page.getByRole('button', { name: 'Add' }).filter({ visible: true }).first().click()
    await dialog().getByRole('combobox').fill('champion')
    await page.getByTestId('model-alias-option').filter({ hasText: 'champion' }).first().click()
    await dialog().getByRole('button', { name: 'Save aliases' }).click()
    await dialog().waitFor({ state: 'hidden' })
    await reopen('#/models/progression/versions/1')
    await see('ridge-0.1')
    await miss('champion')
  })
  await step('a version is described', async () => {
    await reopen('#/models/progression/versions/2')
    await see('champion')
    await page.getByTestId('descriptionEditButton').click()
    await page.locator('textarea').filter({ visible: true }).first().fill('The second of **its** kind.')
    await page.getByTestId('editable-note-save-button').click()
    await see('The second of')
    await reopen('#/models/progression')
    await see('The second of **its** kind.')
  })
}

async function main() {
  const chrome = execFileSync('sh', ['-c', 'command -v chromium']).toString().trim()
  require('fs').mkdirSync(shots, { recursive: true })
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: chrome,
    headless: true,
    viewport: { width: 1600, height: 1000 },
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  page = context.pages()[0]
  page.setDefaultTimeout(15_000)
  watch()
  try {
    if (process.env.PART !== 'acts') await looks()
    await acts()
  } finally {
    await context.close()
  }
  if (troubles.length > 0) throw new Error(troubles.join('\n'))
}

main().catch((error) => {
  console.error(error.message)
  process.exit(1)
})
