// What is asked for again and again while somebody looks at it.

import { onBeforeUnmount, onMounted, reactive } from 'vue'

/**
 * `ask` now and then every so many milliseconds: its value, or the problem it ended with.
 * Nobody looks at a hidden page: the platform is spared, too.
 */
export function useLive(ask, every) {
  const live = reactive({ value: null, problem: null, at: null })
  let timer
  let here = true

  async function look() {
    clearTimeout(timer)
    try {
      live.value = await ask()
      live.problem = null
    } catch (error) {
      live.value = null
      live.problem = error
    }
    live.at = new Date()
    clearTimeout(timer)
    if (here) timer = setTimeout(turn, every)
  }

  function turn() {
    if (!document.hidden) look()
  }

  onMounted(() => {
    look()
    document.addEventListener('visibilitychange', turn)
  })
  onBeforeUnmount(() => {
    here = false
    clearTimeout(timer)
    document.removeEventListener('visibilitychange', turn)
  })
  return live
}
