import vue from '@vitejs/plugin-vue'
import { defineConfig } from 'vite'

export default defineConfig({
  plugins: [vue()],
  build: {
    // nothing inline: the content security policy knows 'self' only
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
})
