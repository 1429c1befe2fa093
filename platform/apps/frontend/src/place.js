// Where in the dashboard we are: the path, and what it stands for.

import { computed, ref } from 'vue'

const path = ref(window.location.pathname)
window.addEventListener('popstate', () => {
  path.value = window.location.pathname
})

/** { name: 'projects' } | { name: 'project', id } | { name: 'audit' } | { name: 'nowhere' } */
export const place = computed(() => {
  if (path.value === '/') return { name: 'projects' }
  if (path.value === '/audit') return { name: 'audit' }
  const found = /^\/projects\/([0-9a-f-]{36})$/.exec(path.value)
  return found ? { name: 'project', id: found[1] } : { name: 'nowhere' }
})

export function go(to) {
  window.history.pushState(null, '', to)
  path.value = to
}
