// A value that is read again and again while somebody looks at it.

import { onBeforeUnmount, onMounted, reactive } from 'vue'

/**
 * Call `ask` at once and every `every` milliseconds; keep its value, or the problem it ended with.
 * A hidden page asks nothing, because nobody looks at it.
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
