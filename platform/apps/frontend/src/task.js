// One task: busy while it runs, and the problem it ended with, if any.

import { reactive } from 'vue'

export function useTask() {
  const task = reactive({
    busy: false,
    problem: null,
    /** Run `work` unless the task is busy; true if it succeeded. */
    async run(work) {
      if (task.busy) return false
      task.busy = true
      task.problem = null
      try {
        await work()
        return true
      } catch (error) {
        task.problem = error
        return false
      } finally {
        task.busy = false
      }
    },
  })
  return task
}
