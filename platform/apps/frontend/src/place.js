// The user's place in the dashboard: the path, and the page it stands for.

import { computed, ref } from 'vue'

import { say } from './notice.js'

const path = ref(window.location.pathname)
window.addEventListener('popstate', () => {
  if (path.value !== window.location.pathname) say('')
  path.value = window.location.pathname
})

/** { name: 'projects' } | { name: 'project', id } | { name: 'audit' } | { name: 'nowhere' } */
export const place = computed(() => {
  if (path.value === '/') return { name: 'projects' }
  if (path.value === '/audit') return { name: 'audit' }
  const found = /^\/projects\/([0-9a-f-]{36})$/.exec(path.value)
  return found ? { name: 'project', id: found[1] } : { name: 'nowhere' }
})

/** Go to the path `to`; `said` is the notice about what was just done, if anything. */
export function go(to, said = '') {
  window.history.pushState(null, '', to)
  path.value = to
  say(said)
}

/** Set the page's title in the browser's window and history. */
export function entitle(text) {
  document.title = `${text} · InfraForge`
}
