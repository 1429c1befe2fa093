// The client of the platform's API, as the signed-in user. Every failure is a Problem, in words.

import { session } from './session.js'

export class Problem extends Error {
  /**
   * @param {number} status HTTP status, 0 if no answer came
   * @param {string} detail what is wrong, for a person
   * @param {string} requestId what to look for in the logs
   */
  constructor(status, detail, requestId = '') {
    super(detail)
    this.status = status
    this.requestId = requestId
  }
}

const project = (id) => `/api/projects/${encodeURIComponent(id)}`

/** The address from which the browser itself fetches a file. */
export const fileUrl = (id, name) => `${project(id)}/files/${encodeURIComponent(name)}`

export const me = () => json('GET', '/api/me')
export const health = async () => (await json('GET', '/api/health')).components

export const components = async () => (await json('GET', '/api/platform/components')).items
export const actions = async () => (await json('GET', '/api/platform/actions?limit=50')).items

export const projects = (after) => cached(`/api/projects${query({ limit: 20, after })}`)
export const createProject = (fields) => json('POST', '/api/projects', fields)
export const readProject = (id) => cached(project(id))
export const changeProject = (id, fields) => json('PUT', project(id), fields)
export const deleteProject = (id) => call('DELETE', project(id))

export const files = (id) => cached(`${project(id)}/files`)
export const deleteFile = (id, name) => call('DELETE', fileUrl(id, name))
export const uploadFile = (id, file) =>
  call('PUT', fileUrl(id, file.name), file, 'application/octet-stream')

export const jobs = (id, after) => json('GET', `${project(id)}/jobs${query({ limit: 20, after })}`)
export const createJob = (id, fields) => json('POST', `${project(id)}/jobs`, fields)

export const audit = (before) => json('GET', `/api/audit${query({ limit: 50, before })}`)

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value != null)
  return `?${new URLSearchParams(given)}`
}

async function json(method, path, fields) {
  const body = fields === undefined ? undefined : JSON.stringify(fields)
  return (await call(method, path, body, 'application/json')).json()
}

/** The answer, the path that produced it (hit, miss or bypass), and the milliseconds it took. */
async function cached(path) {
  const began = performance.now()
  const answer = await call('GET', path)
  const value = await answer.json()
  const took = Math.round(performance.now() - began)
  return { value, read: { how: answer.headers.get('X-Cache') ?? '', took } }
}

async function call(method, path, body, type) {
  const headers = body === undefined ? {} : { 'Content-Type': type }
  let answer
  try {
    answer = await fetch(path, { method, headers, body, redirect: 'error' })
  } catch {
    throw new Problem(0, 'The platform does not answer. Check your connection and try again.')
  }
  if (answer.ok) return answer
  if (answer.status === 401) session.expired = true
  throw await problem(answer)
}

async function problem(answer) {
  let found = {}
  try {
    found = await answer.json()
  } catch {
    // no problem document: fall back to the status
  }
  const text = found.detail || found.title || `the platform answered ${answer.status}`
  const wait = answer.headers.get('Retry-After')
  const advice = wait ? ` Try again in ${wait} s.` : ''
  const requestId = found.request_id || answer.headers.get('X-Request-Id') || ''
  return new Problem(answer.status, sentence(text) + advice, requestId)
}

function sentence(text) {
  const whole = /[.!?]$/.test(text) ? text : `${text}.`
  return whole[0].toUpperCase() + whole.slice(1)
}
